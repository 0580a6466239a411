"""What it costs until a command answers: `python -m tests.startup` prints a table.

CPU time and memory, not wall time: they hardly depend on what else the machine does.
"""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).parents[1]

MAX_CPU_SECONDS = 0.6
MAX_MEGABYTES = 80

HEAVY = {"keras", "tensorflow", "jax", "torch", "tensorflow_datasets", "matplotlib", "h5py"}

# Each command with words that name what is not there.
MISSING = {
    "care_keras.convert": ["--model=no.keras"],
    "care_keras.train": ["--data=no/such/folder"],
    "care_keras.ablate": ["--data=no/such/folder"],
    "care_keras.weights": ["--arch=s0", "--checkpoint=no.pth", "--output=no.keras"],
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


def start(command: str, *arguments: str) -> Start:
    """Starts `python -m COMMAND ARGUMENTS` and waits for it."""
    # To tell of each import takes a tenth of the time more.
    options = ["-X", "importtime"] if "--help" in arguments else []
    words = [sys.executable, *options, "-m", *command.split(), *arguments]
    with tempfile.TemporaryFile("w+") as stream:
        process = subprocess.Popen(words, cwd=ROOT, stdout=stream, stderr=stream)
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


def start_all() -> dict[str, list[Start]]:
    """Each command, with `--help`, a wrong flag and a wrong path."""
    return {
        command: [start(command, *words) for words in (["--help"], ["--no_such_flag"], missing)]
        for command, missing in MISSING.items()
    }


def measure() -> dict[str, list[Start]]:
    """`start_all` from a small process: Linux counts the memory of who starts a process as its."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.startup", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return {
        command: [Start(**one) for one in starts]
        for command, starts in json.loads(done.stdout).items()
    }


def main() -> None:
    """Prints a line for each command."""
    found = start_all()
    if "--json" in sys.argv:
        print(json.dumps({c: [dataclasses.asdict(one) for one in s] for c, s in found.items()}))
        return
    print(f"{'':38}{'--help':>16}{'a wrong flag':>16}{'a wrong path':>16}")
    for command, starts in found.items():
        cells = [f"{one.cpu_seconds:.2f} s, {one.megabytes:.0f} MB" for one in starts]
        print(f"{command:38}" + "".join(f"{cell:>16}" for cell in cells))


if __name__ == "__main__":
    main()
