"""Benchmarks of .tflite files on phones: `python -m android_bench WORD [--flags]`.

doctor    what is missing, and how to mend it
devices   what the connected phones are
run       measure
report    tables, CSV, JSON and an HTML page of a run
compare   one run against another: faster, slower, or no difference beyond noise

`python -m android_bench WORD --help` lists a word's flags.
"""

import importlib
import sys

from care_keras.console.launched import as_typed

_WORDS = ("doctor", "devices", "run", "report", "compare")


def main() -> None:
    """Hands over to the command that the first word names."""
    word = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if word in ("-h", "-help", "--help", "help"):
        print(as_typed(__doc__.strip()))
        return
    if word not in _WORDS:
        print(
            f"error: there is no command {word!r}: it is one of {', '.join(_WORDS)}",
            file=sys.stderr,
        )
        sys.exit(2)
    command = importlib.import_module(f"android_bench.commands.{word}")
    # For --help.
    sys.modules["__main__"].__doc__ = command.__doc__
    del sys.argv[1]
    command.start()


if __name__ == "__main__":
    main()
