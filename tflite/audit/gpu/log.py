"""What LiteRT's GPU accelerator prints as it compiles, read from its log.

Its Python interface says no more than that something was not accelerated. The
lines are those of LiteRT 2.3.0; the tests hold them against the runtime.
"""

import dataclasses
import re

_ADAPTER = re.compile(
    r"Selected adapter: (?P<name>.+), arch=(?P<architecture>.*), vendor=(?P<vendor>.*), "
    r"backend=(?P<backend>.*), adapterType=(?P<kind>.+)$"
)
_NOT_LOADED = "GPU accelerator could not be loaded and registered"
_SOURCE = re.compile(r"^\[\S+:\d+\] ")
_REFUSED_HEAD = "Following operations are not supported by GPU delegate:"
_COUNTS = re.compile(
    r"^(\d{1,15}) operations will run on the GPU, and the remaining (\d{1,15}) operations"
)
_NO_COUNTS = re.compile(r"^No operations will run on the GPU, and all (\d{1,15}) operations")
_FATAL = re.compile(r"^F\d{4} .*?\] (.+)$")
_REFUSED = re.compile(r"^([A-Z][A-Z0-9_ ]*): (.+)$")


@dataclasses.dataclass(frozen=True)
class Adapter:
    """The device that the accelerator chose.

    Attributes:
        name: `"SwiftShader Device (Subzero)"`.
        vendor: `"google"`.
        backend: `"Vulkan"`.
        kind: `"CPU / Software"`, `"discrete GPU"`, as the accelerator says it.
    """

    name: str
    vendor: str
    backend: str
    kind: str


@dataclasses.dataclass(frozen=True)
class GpuLog:
    """What the log says.

    Attributes:
        accelerator_loaded: Whether the runtime has a GPU accelerator at all.
        adapter: The device it runs on, or `None`.
        no_adapter: Why there is no device, or `None` if nothing says so.
        refused: `(operator, reason)` of what the GPU does not take; one entry
            stands for all operators of the same kind and reason.
        on_gpu: Operators that run on the GPU, `None` where nothing was refused.
        on_cpu: The other operators, likewise.
        complaints: Errors and warnings of the runtime in other words.
        fatal: The check that failed as the runtime ended the process, or `None`.
    """

    accelerator_loaded: bool
    adapter: Adapter | None
    no_adapter: str | None
    refused: tuple[tuple[str, str], ...]
    on_gpu: int | None
    on_cpu: int | None
    complaints: tuple[str, ...]
    fatal: str | None


def parse_gpu_log(text: str) -> GpuLog:
    """Reads what a process that compiled one file for the GPU printed."""
    adapter = no_adapter = on_gpu = on_cpu = fatal = None
    refused: dict[tuple[str, str], None] = {}
    complaints: dict[str, None] = {}
    warning, listing = None, False
    for line in text.splitlines():
        if _REFUSED_HEAD in line:
            listing = True
        elif found := _COUNTS.match(line):
            listing, on_gpu, on_cpu = False, int(found[1]), int(found[2])
        elif found := _NO_COUNTS.match(line):
            listing, on_gpu, on_cpu = False, 0, int(found[1])
        elif listing:
            found = _REFUSED.match(line)
            refused[(found[1], found[2]) if found else ("", line.strip())] = None
        elif found := _ADAPTER.search(line):
            adapter = Adapter(found["name"], found["vendor"], found["backend"], found["kind"])
        elif found := _FATAL.match(line):
            fatal = found[1]
        elif "No adapters found" in line:
            no_adapter = warning or "No adapters found"
        elif line.startswith("Warning: "):
            # Dawn's own, of each device that it will not have.
            warning = warning or line.removeprefix("Warning: ").strip()
        elif line.startswith(("ERROR: ", "WARNING: ")) and not _is_about_npu(line):
            complaints[_SOURCE.sub("", line.partition(": ")[2]).strip().rstrip(".")] = None
    return GpuLog(
        accelerator_loaded=_NOT_LOADED not in text,
        adapter=adapter,
        no_adapter=no_adapter,
        refused=tuple(refused),
        on_gpu=on_gpu,
        on_cpu=on_cpu,
        complaints=tuple(complaints),
        fatal=fatal,
    )


def _is_about_npu(line):
    # The runtime always looks for NPUs, and for their compilers; also where its log begins.
    return any(text in line for text in ("npu_registry", "compiler_plugin", "Logging before"))
