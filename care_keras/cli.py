"""Start-up that all command lines share: flags, messages, exit codes.

Exit codes: 0 fine, 1 a check that the command makes did not hold, 2 bad use.
"""

import os
import sys
from collections.abc import Callable

from absl import app, flags


class UserError(Exception):
    """A mistake of the user's: one line that names the thing and the way out."""


class CheckError(Exception):
    """What the command checks did not hold."""


def run(main: Callable[[], None]) -> None:
    """Parses the flags and runs `main()`, turning its errors into exit codes.

    `UserError` and a bad flag are one line on stderr and exit code 2,
    `CheckError` one line and exit code 1. Anything else is a bug of ours and
    keeps its traceback.
    """
    # TensorFlow's C++ start-up messages bury what a command prints.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    app.run(lambda _: _guarded(main), flags_parser=_parse_flags)


def _parse_flags(argv):
    try:
        rest = flags.FLAGS(argv)
    except flags.Error as error:
        _fail(str(error).splitlines()[0] + " (see --help)", 2)
    except SystemExit:
        # absl has printed the help that was asked for, and would call that a failure.
        sys.exit(0)
    if len(rest) > 1:
        _fail(f"unexpected argument {rest[1]!r}: every option is a flag (see --help)", 2)
    return rest


def _guarded(main):
    try:
        main()
    except UserError as error:
        _fail(str(error), 2)
    except CheckError as error:
        _fail(str(error), 1)
    except KeyboardInterrupt:
        _fail("interrupted", 130)


def _fail(message, code):
    sys.stdout.flush()
    line = " ".join(part.strip() for part in message.splitlines())
    print(f"error: {line}", file=sys.stderr)
    sys.exit(code)
