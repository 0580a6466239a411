"""Compiles one .tflite file for a Qualcomm SoC, in a process of its own.

For `tflite.child.worker`; it imports LiteRT's ahead-of-time compiler, and takes
the vendor's libraries from the package onnxruntime-qnn.
"""

import os
import pathlib
import re
import sys
import tempfile
import types

# LiteRT's plugin is linked with this library for another accelerator, LPAI, and calls nothing of
# it for an NPU; the package lacks it.
_LACKING = "libQnnLpai.so"


def work(request: dict) -> dict:
    """Compiles the file.

    Args:
        request: `model`, a path; `soc`, as `"SM8650"`; `folder`, a folder for all that is written;
            `compiled`, the file to write.

    Returns:
        `operators` of the file, `taken` by the NPU in so many `partitions`.

    Raises:
        ValueError: If the compiler fails.
    """
    folder = pathlib.Path(request["folder"])
    # The compiler leaves its logs there.
    tempfile.tempdir = os.fspath(folder)
    vendor = types.ModuleType("ai_edge_litert_sdk_qualcomm")
    libraries = link_libraries(folder)
    vendor.path_to_sdk_libs = lambda: libraries
    sys.modules[vendor.__name__] = vendor

    from ai_edge_litert.aot import aot_compile
    from ai_edge_litert.aot.vendors.qualcomm import target

    try:
        result = aot_compile.aot_compile(
            request["model"],
            output_dir=folder / "compiled",
            target=target.Target(target.SocModel(request["soc"])),
            keep_going=False,
        )
    except ValueError as error:
        logs = sorted(folder.glob("*.error"))
        reason = _reason(logs[-1].read_text(errors="replace")) if logs else str(error)
        raise ValueError(
            f"LiteRT's compiler for Qualcomm's NPU fails. Received: {request['model']} ({reason})"
        ) from error
    os.replace(result.models[0].path, request["compiled"])
    stats = result.models[0].partition_stats.subgraph_stats
    return {
        "operators": sum(one.num_total_ops for one in stats),
        "taken": sum(one.num_ops_offloaded for one in stats),
        "partitions": sum(one.num_partitions_offloaded for one in stats),
    }


def link_libraries(folder: pathlib.Path) -> pathlib.Path:
    """A folder with links to the vendor's libraries as LiteRT's plugin wants them.

    They find those that they need themselves by their own place.
    """
    import onnxruntime_qnn

    package = pathlib.Path(onnxruntime_qnn.LIB_DIR_FULL_PATH)
    links = folder / "libraries" / package.name
    links.mkdir(parents=True)
    bundled = package.with_name(f"{package.name}.libs")
    if bundled.is_dir():
        (links.parent / bundled.name).symlink_to(bundled)
    for library in package.glob("lib*.so"):
        (links / library.name).symlink_to(library)
    if not (links / _LACKING).exists():
        (links / _LACKING).symlink_to(package / "libQnnSystem.so")
    return links


def _reason(log):
    """What a log of the compiler tells of its failure."""
    if (none := re.search(r"selected 0 ops, from a total of (\d+) ops", log)) is not None:
        names = dict.fromkeys(re.findall(r"LiteRT Op #\d+ '(\w+)'", log))
        return f"the NPU takes none of its {none[1]} operators: {', '.join(names) or 'unnamed'}"
    lines = [line.strip(" \t└") for line in log.splitlines()]
    errors = [line for line in lines if "ERROR" in line or line.startswith("Could not")]
    return (errors or [line for line in lines if line] or ["it says nothing"])[-1][:300]
