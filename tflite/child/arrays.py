"""Messages of JSON and arrays between two processes, of which one is not trusted.

What comes in is numbers and text alone: nothing of it is unpickled.
"""

import json
import math
from collections.abc import Sequence
from multiprocessing.connection import Connection

import numpy as np

# Bytes, with the length of each; the other types have names that NumPy knows.
_TEXT = "S"
_KINDS = "biufcVS"


def send(connection: Connection, message: dict, arrays: Sequence[np.ndarray] = ()) -> None:
    """Sends a message, and arrays with it.

    Raises:
        OSError: If the other side is gone, or takes nothing in time.
    """
    arrays = [np.asarray(array) for array in arrays]
    described = [[_name(array.dtype), array.shape] for array in arrays]
    connection.send_bytes(json.dumps({**message, "arrays": described}).encode())
    for array in arrays:
        if array.nbytes:
            connection.send_bytes(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def receive(connection: Connection) -> tuple[dict, list[np.ndarray]]:
    """Receives what `send` has sent.

    Raises:
        EOFError: If the other side is gone.
        OSError: If it sends nothing in time.
        ValueError: If what it sends is no message.
    """
    message = json.loads(connection.recv_bytes())
    arrays = []
    for name, shape in message.pop("arrays"):
        dtype = np.dtype(name)
        if dtype.kind not in _KINDS or dtype.hasobject:
            raise ValueError(f"Arrays are of numbers or bytes. Received: {name!r}")
        array = np.empty(shape, dtype)
        if array.nbytes:
            received = connection.recv_bytes_into(array.reshape(-1).view(np.uint8).data)
            if received != math.prod(shape) * dtype.itemsize:
                raise ValueError(f"An array is cut off. Received: {received} bytes of {shape}")
        arrays.append(array)
    return message, arrays


def _name(dtype):
    return dtype.str if dtype.kind == _TEXT else dtype.name
