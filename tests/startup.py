"""What it costs until a command answers: `python -m tests.startup` prints a table.

CPU time and memory, not wall time: they hardly depend on what else the machine does.
`--scripts=FOLDER` measures the console commands of an installation, which are there.
"""

import dataclasses
import functools
import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).parents[1]

# Of a core that is free; of one that is shared, whose seconds do less, in starts of a Python that
# imports what most commands need.
MAX_CPU_SECONDS = 0.6
MAX_STARTS = 2.5
_IMPORTS = "import numpy, absl.app"
MAX_MEGABYTES = 80

HEAVY = {"keras", "tensorflow", "jax", "torch", "tensorflow_datasets", "matplotlib", "h5py"}

# Each command with words that name what is not there.
MISSING = {
    "care_keras.convert": ["--model=no.keras"],
    "care_keras.train": ["--data=no/such/folder"],
    "care_keras.ablate": ["--data=no/such/folder"],
    "care_keras.weights": ["--model=s0", "--checkpoint=no.pth", "--output=no.keras"],
    "care_keras.models": ["--model=none"],
    "care_keras.data.make_bundled_sample": ["nothing"],
    "tflite.arm64": ["--model=no.tflite", "--cache_dir=no/such/folder"],
    "tflite.audit": ["--model=no.tflite"],
    "tflite.benchmark": ["--model=no.tflite"],
    "tflite.benchmark_forms": ["--model=no.keras"],
    "tflite.benchmark_tokens": ["--picture=no/such/folder/x.png"],
    "tflite.compare": ["--keras=no.keras", "--model=no.tflite"],
    "tflite.evaluate": ["--model=no.keras"],
    "tflite.npu": ["--model=no.tflite"],
    "tflite.openvino": ["--model=no.tflite", "--data=no/such/folder"],
    "tflite.mediapipe": ["--model=no.tflite", "--data=no/such/folder"],
    "tflite.runtimes": ["--model=no.tflite", "--python=no/such/python"],
    "tflite.stress": ["--model=no.tflite"],
    "tflite.zoo": ["--model=no.tflite"],
    "tflite.zoo.efficientnet_lite": ["--weights=no.pth"],
    "tflite.zoo.min_max": ["--model=no.tflite"],
    "android_bench devices": ["nothing"],
    "android_bench run": ["--model=no.tflite"],
    "android_bench report": ["no.jsonl"],
    "android_bench compare": ["no.jsonl", "no.jsonl"],
    "android_bench doctor": ["nothing"],
}
# The console commands: each, or one word of those that have words.
CONSOLE = {
    "care-ablate": MISSING["care_keras.ablate"],
    "care-bench run": MISSING["android_bench run"],
    "care-convert": MISSING["care_keras.convert"],
    "care-models": MISSING["care_keras.models"],
    "care-tflite audit": MISSING["tflite.audit"],
    "care-train": MISSING["care_keras.train"],
    "care-weights": MISSING["care_keras.weights"],
}


@dataclasses.dataclass(frozen=True)
class Start:
    """One start of a command.

    Attributes:
        exit_code: Of the process.
        cpu_seconds: Of the process and those that it started.
        megabytes: Largest resident memory.
        modules: Packages that it imported; of `--help` alone.
        output: Both streams, less what the interpreter says of imports.
    """

    exit_code: int
    cpu_seconds: float
    megabytes: float
    modules: list[str]
    output: str


def start(command: str, *arguments: str, scripts: pathlib.Path | None = None) -> Start:
    """Starts `python -m COMMAND ARGUMENTS` and waits for it.

    Args:
        command: What to start.
        arguments: Its words.
        scripts: Folder with the Python and the console commands of an installation; the
            command is one of these, and is started where nothing of ours lies.
    """
    # To tell of each import takes a tenth of the time more.
    options = ["-X", "importtime"] if "--help" in arguments else []
    python, call, folder = sys.executable, ["-m", *command.split()], ROOT
    if scripts:
        name, *rest = command.split()
        python, call, folder = scripts / "python", [scripts / name, *rest], "/"
    return _start([python, *options, *call, *arguments], folder)


def _start(words, folder):
    with tempfile.TemporaryFile("w+") as stream:
        process = subprocess.Popen(words, cwd=folder, stdout=stream, stderr=stream)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        stream.seek(0)
        lines = stream.read().splitlines()
    imports = [line for line in lines if line.startswith("import time:")]
    return Start(
        exit_code=process.returncode,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        megabytes=usage.ru_maxrss * 1024 / 1e6,
        modules=sorted({line.rpartition("|")[2].strip().partition(".")[0] for line in imports}),
        output="\n".join(line for line in lines if line not in imports),
    )


def start_each_way(command: str, scripts: pathlib.Path | None = None) -> list[Start]:
    """A command with `--help`, a wrong flag and a wrong path."""
    return [start(command, *words, scripts=scripts) for words in _questions(command, scripts)]


def _questions(command, scripts):
    return ["--help"], ["--no_such_flag"], (CONSOLE if scripts else MISSING)[command]


@functools.cache
def measure(command: str, scripts: pathlib.Path | None = None) -> list[Start]:
    """`start_each_way` from a small process: Linux counts the memory of who starts one as its."""
    words = [f"--json={command}", *([f"--scripts={scripts}"] if scripts else [])]
    done = subprocess.run(
        [sys.executable, "-m", "tests.startup", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [Start(**one) for one in json.loads(done.stdout)]


def problems(command: str, scripts: pathlib.Path | None = None) -> list[str]:
    """What is wrong with how a command answers.

    Args:
        command: The command.
        scripts: As of `start`.
    """
    starts = measure(command, scripts)
    asked, *wrong = starts
    found = []
    if asked.exit_code or "flags:" not in asked.output:
        found.append(f"--help: {asked.output}")
    found += [f"--help loads {name}" for name in HEAVY.intersection(asked.modules)]
    for one in wrong:
        lines = one.output.splitlines()
        if one.exit_code != 2 or len(lines) != 1 or not lines[0].startswith("error: "):
            found.append(f"no line of an error and exit code 2: {one.exit_code}, {one.output}")
    for words, first in zip(_questions(command, scripts), starts, strict=True):
        # A neighbour of the core lengthens CPU time too: what counts is the best of a few, beside
        # the best of as many that import no more than they must.
        seconds, most = first.cpu_seconds, MAX_CPU_SECONDS
        usual = float("inf")
        for _ in range(8):
            if seconds > most:
                usual = min(usual, _start([sys.executable, "-c", _IMPORTS], ROOT).cpu_seconds)
                seconds = min(seconds, start(command, *words, scripts=scripts).cpu_seconds)
                most = max(MAX_CPU_SECONDS, MAX_STARTS * usual)
        if seconds > most:
            found.append(f"{words} takes {seconds:.2f} s, more than {most:.2f} s")
    megabytes = max(one.megabytes for one in starts)
    return found + [f"takes {megabytes:.0f} MB"] * (megabytes > MAX_MEGABYTES)


def main() -> None:
    """Prints a line for each command, or what is measured of one."""
    scripts = _value("--scripts")
    scripts = scripts and pathlib.Path(scripts)
    if command := _value("--json"):
        print(json.dumps([dataclasses.asdict(one) for one in start_each_way(command, scripts)]))
        return
    print(f"{'':38}{'--help':>16}{'a wrong flag':>16}{'a wrong path':>16}")
    for command in CONSOLE if scripts else MISSING:
        starts = start_each_way(command, scripts)
        cells = [f"{one.cpu_seconds:.2f} s, {one.megabytes:.0f} MB" for one in starts]
        print(f"{command:38}" + "".join(f"{cell:>16}" for cell in cells))


def _value(flag):
    given = [word.partition("=")[2] for word in sys.argv if word.startswith(f"{flag}=")]
    return given[0] if given else None


if __name__ == "__main__":
    main()
