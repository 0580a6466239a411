"""Reads PyTorch checkpoints into plain arrays; nothing in a file is executed."""

import argparse
import os
import pathlib
import re
import warnings
from collections.abc import Mapping

# Its import teaches NumPy the name "bfloat16", which safetensors asks for.
import ml_dtypes  # noqa: F401
import numpy as np

from care_keras.console import optional
from care_keras.files import first_line

# Where training scripts keep the weights, the first found taken: averaged
# weights before the last step's, as the averaged ones are those evaluated.
WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model")
_DATA_PARALLEL_PREFIX = "module."
_STEP_COUNTER = "num_batches_tracked"
# Names that a message lists, at most.
_SHOWN = 5


def load_checkpoint(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Reads the state dict in a checkpoint file.

    A file ending in `.safetensors` is read by safetensors, any other (`.pth`,
    `.pth.tar`, `.pt`) by PyTorch restricted to tensors and plain containers.
    The state dict may stand under one of `WRAPPERS`, also one in another; with
    several side by side the first in that order is taken. A prefix `module.`
    that all names carry is removed, and `num_batches_tracked` left out.

    Args:
        path: The file.

    Returns:
        Arrays by name, in PyTorch's layout, of a dtype that NumPy has: all
        floating-point types as float32, others as they are.

    Raises:
        ValueError: If there is no such file, it cannot be read as a
            checkpoint, or it holds anything that is not data.
        MissingDependencyError: If the package that reads it is not installed.
        OSError: If the file cannot be opened.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        kind = "is a folder" if path.is_dir() else "does not exist"
        raise ValueError(f"The checkpoint file {kind}. Received: path={str(path)!r}")
    # A file that may not be read is another fault than one that is broken.
    with path.open("rb"):
        pass
    read = _read_safetensors if path.suffix == ".safetensors" else _read_torch
    arrays = {name: array for name, array in read(path).items() if not name.endswith(_STEP_COUNTER)}
    if not arrays:
        raise ValueError(f"The checkpoint holds no state dict. Received: path={str(path)!r}")
    if all(name.startswith(_DATA_PARALLEL_PREFIX) for name in arrays):
        arrays = {name.removeprefix(_DATA_PARALLEL_PREFIX): a for name, a in arrays.items()}
    return {name: _widen_or_narrow(array) for name, array in arrays.items()}


def is_floating(array: np.ndarray) -> bool:
    """Whether the array is of a floating-point type, bfloat16 included."""
    return array.dtype.name.startswith(("float", "bfloat"))


def _widen_or_narrow(array):
    if not is_floating(array):
        return array
    # What float32 cannot hold becomes infinite, which the import refuses.
    with np.errstate(over="ignore"):
        return array.astype(np.float32)


def _read_safetensors(path):
    safetensors = optional.require("safetensors.numpy", extra="torch")
    try:
        return safetensors.load_file(path)
    except Exception as error:  # The library raises several of its own.
        raise ValueError(
            f"The file is no safetensors checkpoint, or damaged ({first_line(error)}). "
            f"Received: path={str(path)!r}"
        ) from error


def _read_torch(path):
    torch = optional.require("torch", extra="torch")
    try:
        # The training arguments that timm stores are a bag of plain values.
        with (
            torch.serialization.safe_globals([argparse.Namespace]),
            warnings.catch_warnings(action="ignore"),
        ):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # A broken file can raise almost anything here.
        raise ValueError(f"{_torch_fault(error)}. Received: path={str(path)!r}") from error
    state_dict = _unwrap(content)
    strangers = [
        name
        for name, value in state_dict.items()
        if not isinstance(name, str) or not _is_dense(torch, value)
    ]
    if strangers:
        # A key is whatever can be one, a tensor for one, whose text has many lines.
        named = [one if isinstance(one, str) else type(one).__name__ for one in strangers]
        listed = ", ".join(f"{name[:80]!r}" for name in named[:_SHOWN])
        more = f" and {len(named) - _SHOWN} more" if len(named) > _SHOWN else ""
        raise ValueError(
            f"The checkpoint's state dict holds entries that are no tensors: {listed}{more}. "
            f"Received: path={str(path)!r}"
        )
    return {name: _to_array(torch, tensor) for name, tensor in state_dict.items()}


def _unwrap(content):
    """The innermost state dict; an empty one for anything that is no dict."""
    if not isinstance(content, Mapping):
        return {}
    for wrapper in WRAPPERS:
        if isinstance(content.get(wrapper), Mapping) and content[wrapper]:
            return _unwrap(content[wrapper])
    return content


def _is_dense(torch, value):
    return (
        isinstance(value, torch.Tensor)
        and value.layout == torch.strided
        and not value.is_meta
        and not value.is_quantized
    )


def _to_array(torch, tensor):
    tensor = tensor.detach()
    # NumPy has no bfloat16 and no 8-bit floats; float64 is narrowed later.
    if tensor.is_floating_point() and tensor.dtype != torch.float64:
        tensor = tensor.to(torch.float32)
    return tensor.resolve_conj().resolve_neg().numpy()


def _torch_fault(error):
    """One line for what PyTorch says in ten."""
    stranger = re.search(r"GLOBAL ['\"]?([\w.]+)", str(error))
    if stranger:
        return (
            f"The checkpoint holds {stranger[1].rstrip('.')}, which is not data and so not "
            "loaded: save its state dict alone"
        )
    if "TorchScript" in str(error):
        return "The file is a TorchScript program: save its state dict alone"
    if "Unsupported" in str(error):
        return "The file is a pickle that no torch.save wrote: save a state dict with torch.save"
    return f"The file is no PyTorch checkpoint, or damaged ({type(error).__name__})"
