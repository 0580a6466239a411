"""Runs timed one by one, for the percentiles that benchmark_model does not print.

Of its regular runs the tool prints the least, the greatest and the average, and
never each of them (`StatWithPercentiles` in TensorFlow's `stats_calculator.h`,
`BenchmarkModel::Run` in LiteRT's `benchmark_model.cc`, its log, its protobuf and
its profile have nothing else). Of three runs these are all three times. So a loop on
the phone starts the tool again and again, three runs in each process.
"""

import dataclasses

from android_bench.phone.connection import Phone
from android_bench.phone.errors import PhoneError
from tflite.benchmark_tool.log import parse_log
from tflite.benchmark_tool.runs import RunStatistics

# Of which the least, the greatest and the average say each.
RUNS = 3
_WARMUP_SECONDS = 0.1
_MARK = "android_bench: next process"
# mksh's arithmetic has no fractions; `date` is toybox's. LiteRT's program writes its results to
# stderr, which has to stay with the process it is of.
_LOOP = (
    'left="$1"; end=$(($(date +%s) + $2)); shift 2; '
    'while [ "$left" -gt 0 ] && [ "$(date +%s)" -lt "$end" ]; do '
    f'echo "{_MARK}"; "$@" 2>&1 || exit; left=$((left - 1)); done'
)


@dataclasses.dataclass(frozen=True)
class SingleRuns:
    """Runs of one cell in one round.

    Attributes:
        times_us: Each run's time.
        processes: In how many processes they ran.
        reason: Why there are none, or no more, or `None`.
        command: What each process was.
        output: What was printed, where something failed.
        error: What broke between this machine and the phone, or `None`.
    """

    times_us: tuple[float, ...]
    processes: int
    reason: str | None
    command: list[str]
    output: str = ""
    error: PhoneError | None = None

    def fields(self) -> dict:
        """As plain JSON types."""
        names = ("times_us", "processes", "reason", "command", "output")
        return {name: getattr(self, name) for name in names}


def single_flags() -> list[str]:
    """Flags of a process: exactly three runs after a short warm-up."""
    return [
        f"--num_runs={RUNS}",
        "--min_secs=0",
        "--warmup_runs=1",
        f"--warmup_min_secs={_WARMUP_SECONDS:g}",
    ]


def times_of(runs: RunStatistics) -> list[float]:
    """Each time of three runs, in microseconds, the least first.

    Raises:
        ValueError: If there were not three, or the figures contradict each other.
    """
    if runs.count != RUNS:
        raise ValueError(f"benchmark_model did not run {RUNS} times. Received: {runs.count} runs")
    # The average has six digits, and so has this; no time is outside of the others.
    middle = RUNS * runs.avg_us - runs.min_us - runs.max_us
    return [runs.min_us, min(max(middle, runs.min_us), runs.max_us), runs.max_us]


def time_single_runs(
    phone: Phone, command: list[str], runs: int, seconds: float, timeout_seconds: float
) -> SingleRuns:
    """Runs a command of benchmark_model until enough runs are timed.

    Args:
        phone: The phone.
        command: With the flags of `single_flags`.
        runs: Runs, rounded up to whole processes.
        seconds: Time after which no further process starts.
        timeout_seconds: When a process that does not end is ended.
    """
    processes = -(-runs // RUNS)
    loop = ["sh", "-c", _LOOP, "sh", str(processes), str(max(1, round(seconds))), *command]
    try:
        finished = phone.shell(loop, seconds + timeout_seconds)
        output, error, reason = finished.output, None, None
        if finished.exit_code:
            reason = f"benchmark_model {finished.ending}"
        texts = finished.stdout.split(_MARK)[1:]
    except PhoneError as lost:
        output, error, reason = getattr(lost, "output", ""), lost, str(lost)
        texts = output.split(_MARK)[1:]
    times: list[float] = []
    done = 0
    for text in texts:
        try:
            times += times_of(parse_log(text).regular)
            done += 1
        except ValueError as problem:
            # Of what was cut off by another fault, that is told.
            reason = reason or str(problem)
    if not texts:
        reason = reason or "the phone's shell ran nothing"
    kept = output[-5_000:] if reason else ""
    return SingleRuns(tuple(times), done, reason, command, kept, error)
