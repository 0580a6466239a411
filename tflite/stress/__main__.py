"""Does a .tflite file run on whatever a camera gives? `python -m tflite.stress --model=M.tflite`.

Feeds it black, white, single pixels, noise of every strength and real photos,
in a process of its own, as a kernel that cannot compute may end the process.
Exit code 1 if an input fails, or if all photos give one output, but of classes alone.
"""

import pathlib

from absl import flags

from care_keras.console import cli
from care_keras.console.table import format_table
from care_keras.data.image_flags import input_overrides
from care_keras.files import check_readable
from tflite.inputs.odd_inputs import FAMILIES

_MODEL = flags.DEFINE_multi_string("model", None, "A .tflite file; give several.", required=True)
_INPUTS = flags.DEFINE_integer("inputs", 10_000, "Inputs in all.", lower_bound=len(FAMILIES))
_DATA = flags.DEFINE_string("data", "bundled", "Photos: DIR, tfds:NAME[:SPLIT] or bundled.")
_THREADS = flags.DEFINE_integer("threads", 1, "Threads of the CPU kernels.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the inputs.", lower_bound=0)


def main() -> None:
    """The command."""
    overrides = input_overrides()
    for name in _MODEL.value:
        check_readable(name)
    from care_keras.litert.model import runtime_version
    from tflite.stress.run import stress

    failed = []
    for name in _MODEL.value:
        result = stress(
            pathlib.Path(name),
            _DATA.value,
            _INPUTS.value,
            _SEED.value,
            _THREADS.value,
            overrides,
        )
        _print(name, result)
        if not result.passed:
            failed.append(name)
    print(f"LiteRT {runtime_version()}, XNNPACK, on this machine's CPU")
    if failed:
        raise cli.CheckError(f"not every input runs, or photos are not told apart: {failed}")


def _print(name, result):
    rows = [
        [family, count, result.failures.get(family, 0)] for family, count in result.inputs.items()
    ]
    rows.append(["all", sum(result.inputs.values()), sum(result.failures.values())])
    print(f"\n{name}\n{format_table(['inputs', 'count', 'failed'], rows)}")
    alike = result.photos > 1 and result.distinct_outputs == 1 and result.gives_classes
    note = " (one class, which says nothing of what is before it)" if alike else ""
    print(f"{result.distinct_outputs} different outputs for {result.photos} photos{note}")
    for message in result.messages:
        print(f"failed: {message}")
    print()


if __name__ == "__main__":
    cli.run(main, input_errors=(ValueError,))
