"""What is missing for a benchmark, and how to mend it: `python -m android_bench doctor`.

Exit code 1 if something is missing.
"""

from absl import flags

from android_bench.doctor import examine
from care_keras.console import cli
from care_keras.console.launched import as_typed

_PORT = flags.DEFINE_integer("adb_port", None, "Port of the adb server (default: adb's own).")
_BINARY = flags.DEFINE_string("benchmark_binary", None, "benchmark_model for the phone.")
_URL = flags.DEFINE_string("benchmark_url", None, "Where to download benchmark_model.")
_SHA256 = flags.DEFINE_string("benchmark_sha256", None, "SHA-256 of the download.")


def main() -> None:
    """The command."""
    findings = examine(_PORT.value, _BINARY.value, _URL.value, _SHA256.value)
    about = None
    for finding in findings:
        if finding.about != about:
            about = finding.about
            print(about)
        print(as_typed(f"  {finding.level:8}{finding.what}: {finding.message}"))
    missing = sum(finding.level == "missing" for finding in findings)
    if missing:
        raise cli.CheckError(f"{missing} thing{'s' * (missing > 1)} missing for a benchmark")
    print(as_typed("\nready for python -m android_bench run"))


def start() -> None:
    """Runs it as the program."""
    cli.run(main, input_errors=(OSError,))
