"""A .tflite file of anyone's in LiteRT, in a process of its own.

LiteRT trusts what it is given: a crafted file may crash it, hang it or make it do what the
file's author likes (its SECURITY.md: an untrusted model is untrusted code). The process that opens
it here holds nothing else; it is no sandbox, and may do what the user may.
"""

import contextlib
import socket
import struct
import weakref
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection

import numpy as np

from care_keras.litert.tensor import TensorInfo
from care_keras.tflite_file import Graph
from tflite.child import litert_worker
from tflite.child.arrays import receive, send
from tflite.child.worker import WorkerError, open_worker

# For the start of the process, and for each inference.
_LIMIT_SECONDS = 300


class LiteRTFileApart:
    """A .tflite file with any number of inputs and outputs, ready to run, in another process.

    It has what `care_keras.litert.file.LiteRTFile` has, but for the interpreter.

    Args:
        graph: The file as `read_graph` has read it, so that it is verified before it is opened.
        num_threads: Threads of the CPU kernels.
        input_shapes: Shapes to open inputs with that leave sizes open, by the tensor's index.
        xnnpack: Whether XNNPACK runs what it takes.
        keep_all: Whether the tensors inside can be read; see `LiteRTFile`.
        limit_seconds: Time after which an inference counts as endless.

    Attributes:
        inputs: Inputs by name.
        outputs: Outputs by name.

    Raises:
        WorkerError: If the process ends of the file.
        ValueError: If LiteRT cannot open it, or a shape is for no input.
    """

    def __init__(
        self,
        graph: Graph,
        num_threads: int = 1,
        input_shapes: Mapping[int, Sequence[int]] | None = None,
        *,
        xnnpack: bool = True,
        keep_all: bool = False,
        limit_seconds: int = _LIMIT_SECONDS,
    ):
        self._source = graph.source
        resources = contextlib.ExitStack()
        # At the latest with this process.
        self.close = weakref.finalize(self, resources.close)
        ours, theirs = socket.socketpair()
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            ours.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", limit_seconds, 0))
        self._connection = resources.enter_context(Connection(ours.detach()))
        request = {
            "model": self._source,
            "threads": num_threads,
            "shapes": {index: list(map(int, x)) for index, x in (input_shapes or {}).items()},
            "xnnpack": xnnpack,
            "keep_all": keep_all,
            "socket": theirs.fileno(),
        }
        with theirs:
            opened = open_worker(litert_worker.__file__, request, pass_fds=(theirs.fileno(),))
            self._worker = resources.enter_context(opened)
        try:
            answer = self._worker.next(_LIMIT_SECONDS)
        except WorkerError as error:
            self._tell("opening", error)
        if "error" in answer:
            self.close()
            raise ValueError(answer["error"])
        self.inputs, self.outputs = _infos(answer["inputs"]), _infos(answer["outputs"])
        self._fed: Mapping[str, np.ndarray] = {}

    def run(self, inputs: np.ndarray | Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """As `LiteRTFile.run`.

        Raises:
            WorkerError: If the process ends of it.
            ValueError: If the inputs do not fit, or a kernel fails.
        """
        self.feed(inputs)
        return dict(zip(self.outputs, self._invoked(results=True), strict=True))

    def feed(self, inputs: np.ndarray | Mapping[str, np.ndarray]) -> None:
        """The first part of `run`; what does not fit is found by the second."""
        if not isinstance(inputs, Mapping):
            inputs = dict.fromkeys(list(self.inputs)[:1], inputs)
        self._fed = inputs

    def invoke(self) -> None:
        """The second part of `run`, for `tensor` to be read."""
        self._invoked(results=False)

    def tensor(self, index: int) -> np.ndarray:
        """As `LiteRTFile.tensor`.

        Raises:
            ValueError: If no kernel has written it.
        """
        return self._ask({"tensor": index})[0]

    def _invoked(self, results):
        names = list(self._fed)
        return self._ask({"inputs": names, "results": results}, [self._fed[x] for x in names])

    def _ask(self, message, arrays=()):
        try:
            send(self._connection, message, arrays)
            answer, results = receive(self._connection)
        # What it holds back for so long, it holds back for ever.
        except BlockingIOError:
            self._tell("running", WorkerError("did not come to an end", None, self._worker.said))
        except (EOFError, OSError):
            self._tell("running", self._worker.ended(_LIMIT_SECONDS))
        if "error" in answer:
            raise ValueError(answer["error"])
        return results

    def _tell(self, what, error):
        """Raises the error of a process that is no more, or shall be."""
        self.close()
        error.args = (
            f"LiteRT {error.ending} while {what} the model. "
            f"Received: {self._source} (last line {error.last_line!r})",
        )
        raise error


def _infos(described):
    return {
        name: TensorInfo(own, tuple(shape), np.dtype(dtype), scale, zero_point, index)
        for name, (own, shape, dtype, scale, zero_point, index) in described.items()
    }
