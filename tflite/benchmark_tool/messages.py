"""Lines of what benchmark_model prints: their messages, levels, and what a failure says."""

import re
from collections.abc import Iterable, Sequence

from care_keras.files import printable

# What comes before the message in a line of logcat (threadtime, brief, Android Studio's), of
# Xcode, of glog, of the tool itself, and of LiteRT's logger, which names the place in its source
# (`LITERT_LOG` in LiteRT 2.2.0's litert/c/internal/litert_logging.h).
_PREFIX = re.compile(
    r"^(?:\d\d-\d\d \d\d:\d\d:\d\d\.\d+ +(?:\d+ +\d+ +)?[VDIWEF](?:/| )[^:]*?: ?"
    r"|[VDIWEF]/[\w.]+ *\( *\d+\): ?"
    r"|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ +\d+-\d+ +\S+ +\S+ +[VDIWEF] +"
    r"|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\S* (?:[IWEF] )?\S+\] "
    r"|[IWEF]\d{4} +\S+ +\d+ \S+\] )?"
    r"(?:(?:VERBOSE|INFO|WARN|WARNING|ERROR|FATAL): ?)?"
    r"(?:\[[^\s\]]+:\d+\] ?)?"
)
_TERMINAL_CODES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_LEVEL = re.compile(
    r"\b(?P<name>WARN|WARNING|ERROR|FATAL): ?"
    r"|(?:^|[ \]])(?P<letter>[WEF])[/ ](?:tflite|litert|native)\b"
    r"|^\d{4}-\S+ \S+ +\d+-\d+ +(?:tflite|litert|native) +\S+ +(?P<studio>[WEF]) "
)
WARNINGS, ERRORS = ("WARN", "WARNING", "W"), ("ERROR", "FATAL", "E", "F")
_RESULT = re.compile(r"nference timings in us: ")
FAILED = "Benchmarking failed"
# A number as the program prints one.
NUMBER = r"[-+]?(?:\d+(?:\.\d*)?(?:[eE][-+]?\d+)?|nan|inf)"
_BEFORE_LOG = "All log messages before absl::InitializeLog"
_QUOTED = 300


def search(pattern: re.Pattern, lines: Iterable[str]) -> re.Match | None:
    """The first place in some lines that has a pattern."""
    return next((found for line in lines if (found := pattern.search(line))), None)


def message_lines(text: str) -> list[str]:
    """The lines of an output without what logcat, glog or the tool put before the message."""
    # `adb shell` ends lines with any number of carriage returns, a terminal leaves its codes.
    plain = _TERMINAL_CODES.sub("", text.replace("\r", ""))
    return [_PREFIX.sub("", line, count=1) for line in plain.split("\n")]


def failure_reason(text: str) -> str:
    """Why a run failed, in one line: its errors, or else its warnings, or else its last line."""
    errors = [line for line in messages(text, ERRORS) if FAILED not in line]
    # The list of all flags may follow what is wrong with one of them.
    telling = [line for line in errors if not line.startswith("usage:")]
    # LiteRT's program, built for use, warns of what it could not load and then just fails.
    warnings = [line for line in messages(text, WARNINGS) if _BEFORE_LOG not in line]
    return printable(" ".join(telling or errors or warnings))[:_QUOTED] or tail(text)


def messages(text: str, levels: Sequence[str]) -> tuple[str, ...]:
    """Messages of some levels (`WARNINGS`, `ERRORS`), named by the tool or by logcat's letter."""
    raw = text.replace("\r", "").split("\n")
    return tuple(
        message.strip()
        for line, message in zip(raw, message_lines(text), strict=True)
        if (found := _LEVEL.search(line))
        and found[found.lastgroup] in levels
        # The Android app logs its result as an error, to have it seen.
        and not _RESULT.search(line)
    )


def damaged(what: str, text: str) -> ValueError:
    """An error that says what is wrong with an output, and quotes its end."""
    return ValueError(f"The output of benchmark_model {what}. Received: {tail(text)!r}")


def tail(text: str) -> str:
    """The end of an output as one line that is fit to be shown."""
    lines = [line.strip() for line in text.replace("\r", "").split("\n") if line.strip()]
    return printable(" | ".join(lines[-3:]))[-_QUOTED:] or "no output"
