"""Start-up that all command lines share: flags, messages, exit codes.

Exit codes: 0 fine, 1 a check that the command makes did not hold, 2 bad use.
"""

import errno
import functools
import os
import re
import select
import signal
import sys
from collections.abc import Callable, Sequence

from absl import app, flags, logging

from care_keras.console.launched import as_typed
from care_keras.console.optional import MissingDependencyError
from care_keras.console.startup_messages import PACKAGES
from care_keras.files import printable

# absl's words for a required flag that was not given.
_MISSING = re.compile(r"flag --\S+=None: Flag (--\S+) must have a value other than None\.")


class UserError(Exception):
    """A mistake of the user's: one line that names the thing and the way out."""


class CheckError(Exception):
    """What the command checks did not hold."""


def run(
    main: Callable[..., None],
    arguments: Sequence[str] = (),
    input_errors: tuple[type[Exception], ...] = (),
) -> None:
    """Parses the flags and runs `main()`, turning its errors into exit codes.

    What is no flag is given to `main`: as many words as `arguments` names.

    `UserError`, `input_errors`, a package that is not installed and a bad flag
    are one line on stderr and exit code 2, `CheckError` one line and exit
    code 1. Anything else is a bug of ours and keeps its traceback.

    Args:
        main: The command.
        arguments: What the words are that it takes besides flags.
        input_errors: What the library raises where the command's input is at
            fault, `ValueError` for one.
    """
    app.run(
        lambda words: _guarded(functools.partial(main, *words[1:]), input_errors),
        flags_parser=functools.partial(_parse_flags, arguments=arguments),
    )


def _parse_flags(argv, arguments):
    program = sys.modules["__main__"]
    program.__doc__ = program.__doc__ and as_typed(program.__doc__)
    _show_own_flags_in_help(argv[0])
    try:
        rest = flags.FLAGS(argv)
    except flags.Error as error:
        reason = str(error).splitlines()[0]
        missing = _MISSING.fullmatch(reason)
        _fail((f"{missing[1]} is missing" if missing else reason) + " (see --help)", 2)
    except SystemExit:
        # absl has printed the help that was asked for, and would call that a failure.
        _flush_what_is_read()
        sys.exit(0)
    except BrokenPipeError:
        _end_if_nobody_reads()
        raise
    # absl's own default is INFO, where TFDS and JAX report each step.
    if flags.FLAGS["verbosity"].using_default_value:
        logging.set_verbosity(logging.WARNING)
    if len(rest) > 1 + len(arguments):
        unexpected = rest[1 + len(arguments)]
        _fail(f"unexpected argument {unexpected!r}: every option is a flag (see --help)", 2)
    if len(rest) < 1 + len(arguments):
        _fail(f"{arguments[len(rest) - 1]} is missing (see --help)", 2)
    return rest


def _show_own_flags_in_help(program):
    """Of flags that are defined in other modules, --help would say nothing."""
    for module, defined in flags.FLAGS.flags_by_module_dict().items():
        if module.partition(".")[0] in PACKAGES:
            for flag in defined:
                flags.FLAGS.register_key_flag_for_module(program, flag)


def _guarded(main, input_errors):
    try:
        main()
        sys.stdout.flush()
    except CheckError as error:
        _fail(str(error), 1)
    except (UserError, MissingDependencyError, *input_errors) as error:
        _fail(str(error), 2)
    except BrokenPipeError:
        _end_if_nobody_reads()
        raise
    except OSError as error:
        if not _is_full_disk(error):
            raise
        where = f": {error.filename}" if error.filename else ""
        _fail(f"nothing more can be written, as the disk or a quota is full{where}", 2)
    except KeyboardInterrupt:
        _fail("interrupted", 130)


def _is_full_disk(error):
    # HDF5 has the system's words in a text of its own.
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or (
        os.strerror(errno.ENOSPC) in str(error)
    )


def _flush_what_is_read():
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _end_if_nobody_reads()
        raise


def _end_if_nobody_reads():
    """Ends the process, as SIGPIPE would, if it is stdout that is closed, by `head` for one."""
    number = sys.stdout.fileno()
    poll = select.poll()
    poll.register(number, 0)
    if poll.poll(0):
        # What is left would be written at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), number)
        sys.exit(128 + signal.SIGPIPE)


def _fail(message, code):
    sys.stdout.flush()
    line = " ".join(part.strip() for part in message.splitlines())
    # It may quote a file of someone else's.
    print(f"error: {printable(as_typed(line))}", file=sys.stderr)
    sys.exit(code)
