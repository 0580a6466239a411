"""The two programs called benchmark_model, told apart by what they say of themselves.

TensorFlow Lite's runs a file by its Interpreter with delegates, LiteRT's own by the
CompiledModel API with accelerators. Their flags were taken from the sources: LiteRT's
`tflite/tools/benchmark/benchmark_tflite_model.cc` and `tflite/tools/delegates` for the
former, `litert/tools/benchmark_litert_model.h` and `.cc` for the latter, at LiteRT's tags
2.0.2 to 2.2.0. Both derive from `tflite/tools/benchmark/benchmark_model.cc`, which is why
`--graph`, `--num_threads`, `--num_runs`, `--min_secs`, `--warmup_runs`, `--warmup_min_secs`
and `--report_peak_memory_footprint` are the same.
"""

import dataclasses
import os
import re
import string
from collections.abc import Mapping

from tflite.child import program

# A line of the usage: "\t--num_runs=50   \tint32\toptional\texpected number of runs".
_FLAG = re.compile(r"^\s*--([\w-]+)=", re.MULTILINE)
_OF_BOTH = frozenset({"graph", "num_runs"})
# For a program to tell its flags.
HELP_SECONDS = 30.0


@dataclasses.dataclass(frozen=True)
class Family:
    """What one of the two programs can be asked.

    Attributes:
        key: Its name in records: `"tensorflow"` or `"litert"`.
        title: Its name for people.
        delegates: Flags that ask for each delegate it has, with `$names` of what they need.
        refusals: For each delegate it lacks, the way out.
        profile: Flag for the time of each operation.
        state: Flags that make it tell what a delegate runs, if it does not by itself.
        feeds: Whether it takes inputs from files and writes outputs to one.
    """

    key: str
    title: str
    delegates: Mapping[str, tuple[str, ...]]
    refusals: Mapping[str, str]
    profile: str
    state: tuple[str, ...]
    feeds: bool


TENSORFLOW = Family(
    key="tensorflow",
    title="TensorFlow Lite's benchmark_model",
    delegates={
        # Explicitly, as it then says how much of the graph it runs.
        "xnnpack": ("--use_xnnpack=true",),
        "cpu": ("--use_xnnpack=false",),
        "gpu": ("--use_gpu=true",),
        "nnapi": ("--use_nnapi=true", "--nnapi_accelerator_name=$nnapi_accelerator"),
        "external": (
            "--external_delegate_path=$external",
            "--external_delegate_options=$external_options",
        ),
    },
    refusals={"npu": "LiteRT's benchmark_model reaches NPUs, with --npu_library"},
    profile="--enable_op_profiling=true",
    state=("--print_preinvoke_state=true",),
    feeds=True,
)
LITERT = Family(
    key="litert",
    title="LiteRT's benchmark_model (CompiledModel)",
    delegates={
        # Its CPU accelerator, which stays on beside the others: what they leave runs there.
        "xnnpack": ("--use_cpu=true",),
        "gpu": ("--use_gpu=true",),
        "npu": (
            "--use_npu=true",
            "--dispatch_library_path=$dispatch",
            "--compiler_plugin_library_path=$compiler",
        ),
    },
    refusals={
        "cpu": "it cannot switch XNNPACK off; TensorFlow Lite's benchmark_model can",
        "nnapi": "--delegate=npu is its way to an NPU, TensorFlow Lite's benchmark_model has NNAPI",
        "external": "TensorFlow Lite's benchmark_model takes external delegates",
    },
    profile="--use_profiler=true",
    state=(),
    feeds=False,
)
FAMILIES = {family.key: family for family in (TENSORFLOW, LITERT)}

# A flag that came with each release of LiteRT's program, the newest first: by LiteRT's tags.
_RELEASES = (
    ("xnnpack_weight_cache_file_path", "2.2.0"),
    ("convert_weights_on_gpu", "2.1.5"),
    ("input_layer_value_range", "2.1.3"),
    ("compiler_cache_path", "2.1.0"),
)


@dataclasses.dataclass(frozen=True)
class Program:
    """A benchmark_model that was asked what it is.

    Attributes:
        family: Which one it is.
        flags: Names of the flags it knows.
        release: What can be told of its version: `"2.2.0 or newer"`, or `None`; neither
            program has a flag that prints it.
    """

    family: Family
    flags: frozenset[str]
    release: str | None = None

    def describe(self) -> str:
        """`"LiteRT's benchmark_model (CompiledModel), 2.2.0 or newer"`."""
        return self.family.title + (f", {self.release}" if self.release else "")

    def fields(self) -> dict:
        """As plain JSON types."""
        return {"family": self.family.key, "program": self.family.title, "release": self.release}

    def delegate_flags(self, delegate: str, values: Mapping[str, str | None]) -> list[str]:
        """Flags that ask for a delegate.

        Args:
            delegate: Its name in `--delegate`.
            values: What they need; a flag whose value is `None` is left out.

        Raises:
            ValueError: If the family, or this build of it, has no such delegate.
        """
        family = self.family
        if delegate not in family.delegates:
            way_out = family.refusals.get(delegate, f"it has {', '.join(family.delegates)}")
            raise ValueError(
                f"{family.title} has no delegate {delegate}: {way_out}. Received: {delegate}"
            )
        flags = []
        for template in family.delegates[delegate]:
            needs = string.Template(template).get_identifiers()
            if all(values.get(name) is not None for name in needs):
                flags.append(string.Template(template).substitute(values))
        name, _, value = flags[0].removeprefix("--").partition("=")
        if name not in self.flags:
            if value == "false":
                # What it was built without needs no switching off.
                return []
            raise ValueError(
                f"This {family.title} was built without {delegate} (its --help lacks --{name}): "
                f"take a build that has it. Received: {delegate}"
            )
        return flags


def identify(help_text: str) -> Program:
    """Which program printed a help.

    Args:
        help_text: stdout and stderr of `benchmark_model --help`.

    Raises:
        ValueError: If it is neither family's, or LiteRT's of a release that is too old.
    """
    flags = frozenset(_FLAG.findall(help_text))
    known = flags >= _OF_BOTH
    if known and "dispatch_library_path" in flags and "input_layer" not in flags:
        release = next((since for flag, since in _RELEASES if flag in flags), None)
        if release is None:
            # Before 2.1.0 its source takes --num_threads and passes it on to nobody.
            raise ValueError(
                f"{LITERT.title} of before 2.1.0 does not obey --num_threads: take a newer one. "
                f"Received: {_first_line(help_text)}"
            )
        return Program(LITERT, flags, f"{release} or newer")
    if known and "input_layer" in flags and "dispatch_library_path" not in flags:
        return Program(TENSORFLOW, flags)
    raise ValueError(
        "The program is no benchmark_model that is known: its --help lists the flags of neither "
        f"TensorFlow Lite's nor LiteRT's. Received: {_first_line(help_text)}"
    )


def ask(binary: str | os.PathLike, timeout_seconds: float = HELP_SECONDS) -> Program:
    """Asks a program of this machine what it is.

    Args:
        binary: The program.
        timeout_seconds: Time after which it is stopped, at most half a minute.

    Raises:
        ValueError: If it cannot be started, does not end, or is no benchmark_model.
    """
    finished = program.run([binary, "--help"], min(timeout_seconds, HELP_SECONDS))
    if finished.signal_name:
        raise ValueError(f"{os.fspath(binary)} --help {finished.ending}. Received: {binary}")
    # One ends it with 0, the other with 1.
    return identify(finished.output)


def _first_line(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return repr(lines[0][:80]) if lines else "no output"
