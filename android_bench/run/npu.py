"""Libraries through which LiteRT's benchmark_model reaches an NPU.

The vendor's dispatch library hands a compiled graph to the NPU, its compiler plugin compiles
one on the phone, and both load libraries of the vendor's own. LiteRT looks for the first two by
the start of their names, in folders that it is told, and takes the first it finds (LiteRT 2.2.0,
`litert/core/dynamic_loading.cc`, `litert/runtime/dispatch/litert_dispatch.cc`).
"""

import pathlib
from collections.abc import Sequence

from android_bench.phone.errors import BinaryError
from android_bench.run.binary import abi_of
from android_bench.run.plan import Model
from tflite.npu.partitions import DISPATCH

_DISPATCH, _COMPILER = "libLiteRtDispatch", "libLiteRtCompilerPlugin"


def find_libraries(given: Sequence[str]) -> tuple[pathlib.Path, ...]:
    """The libraries that were named, by themselves or by their folders.

    Raises:
        ValueError: If one is missing, a folder holds none, or two have one name.
    """
    found: list[pathlib.Path] = []
    for name in given:
        path = pathlib.Path(name)
        if path.is_dir():
            inside = sorted(one for one in path.glob("*.so") if one.is_file())
            if not inside:
                raise ValueError(f"The folder holds no library. Received: --npu_library={name}")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise ValueError(f"There is no such file or folder. Received: --npu_library={name}")
    unique = {path.resolve(): path for path in found}.values()
    names = [path.name for path in unique]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise ValueError(f"Two libraries have the same name. Received: {twice} in --npu_library")
    return tuple(unique)


def has_compiler(libraries: Sequence[pathlib.Path]) -> bool:
    """Whether a compiler plugin is among them."""
    return any(path.name.startswith(_COMPILER) for path in libraries)


def check_libraries(
    libraries: Sequence[pathlib.Path], models: Sequence[Model], abis: Sequence[str]
) -> None:
    """Looks whether an NPU can be reached with these.

    Raises:
        ValueError: If what has to be there is not, is there twice, or is for another processor.
    """
    dispatch = [path for path in libraries if path.name.startswith(_DISPATCH)]
    compilers = [path for path in libraries if path.name.startswith(_COMPILER)]
    if not dispatch:
        raise ValueError(
            "The delegate npu needs --npu_library with the vendor's dispatch library, "
            f"{_DISPATCH}_VENDOR.so, or the folder that holds it. Received: npu"
        )
    for several in (dispatch, compilers):
        if len(several) > 1:
            names = ", ".join(path.name for path in several)
            raise ValueError(
                "LiteRT takes the first of several libraries for one thing: give one. "
                f"Received: --npu_library with {names}"
            )
    # What the NPU itself loads is for its own processor.
    for path in dispatch + compilers:
        try:
            abi = abi_of(path.read_bytes()[:64])
        except BinaryError:
            raise ValueError(f"The file is no library. Received: --npu_library={path}") from None
        if abi not in abis:
            raise ValueError(
                f"The library is for {abi}, the phone takes {', '.join(abis)}. "
                f"Received: --npu_library={path}"
            )
    if compilers:
        return
    for model in models:
        if DISPATCH.encode() not in model.path.read_bytes():
            raise ValueError(
                f"The delegate npu needs --npu_library with the vendor's compiler plugin, "
                f"{_COMPILER}_VENDOR.so, for a file that was not compiled for an NPU before. "
                f"Received: {model.path}"
            )
