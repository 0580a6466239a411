"""A .tflite file that is open as long as the other side wants it; for `tflite.child.worker`.

It imports NumPy, LiteRT and modules that need no more.
"""

from collections.abc import Iterator
from multiprocessing.connection import Connection

from care_keras.litert.file import LiteRTFile
from tflite.child.arrays import receive, send


def work(request: dict) -> Iterator[dict]:
    """Opens the file, says what it takes and gives, and does what it is told until the end.

    Args:
        request: `model`, a path; `threads` of its kernels; `shapes`, those to open inputs with by
            the tensor's index; `xnnpack` and `keep_all`, as of `LiteRTFile`; `socket`, the
            descriptor that messages come by.

    Yields:
        `inputs` and `outputs`, records by name.

    Raises:
        ValueError: If LiteRT cannot open the file.
    """
    asked = {int(index): shape for index, shape in request["shapes"].items()}

    def shapes(details):
        return {name: asked[one["index"]] for name, one in details.items() if one["index"] in asked}

    options = {name: request[name] for name in ("xnnpack", "keep_all")}
    file = LiteRTFile(request["model"], request["threads"], shapes, **options)
    yield {"inputs": _described(file.inputs), "outputs": _described(file.outputs)}
    connection = Connection(request["socket"])
    while True:
        try:
            message, arrays = receive(connection)
        except EOFError:
            return
        try:
            send(connection, {}, _answer(file, message, arrays))
        except ValueError as error:
            send(connection, {"error": str(error)})


def _answer(file, message, arrays):
    if "tensor" in message:
        return [file.tensor(message["tensor"])]
    file.feed(dict(zip(message["inputs"], arrays, strict=True)))
    file.invoke()
    return list(file.results().values()) if message["results"] else []


def _described(infos):
    return {
        name: [one.name, one.shape, one.dtype.name, one.scale, one.zero_point, one.index]
        for name, one in infos.items()
    }
