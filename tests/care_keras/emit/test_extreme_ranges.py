"""Whatever ranges an int8 file has, LiteRT opens and runs it, or it is not written."""

import numpy as np

from care_keras.emit.network import emit_tflite
from care_keras.quantization import FakeQuant
from care_keras.quantization.freeze import freeze
from tests.care_keras.primitives.test_primitives import CASES
from tests.processes import finish, start

DRAWS = 2
REASONS = ("too narrow", "does not fit into", "must begin at 0")
# Each file in a process of its own, which LiteRT may end.
RUN = """
import os, pathlib, sys
from care_keras.litert.file import LiteRTFile
import numpy as np

def run(path):
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 1), os.dup2(sink, 2)
    file = LiteRTFile(path)
    (taken,) = file.inputs.values()
    codes = np.random.default_rng(0).integers(-128, 128, taken.shape)
    file.run(codes.astype(taken.dtype))

for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    child = os.fork()
    if not child:
        code = 1
        try:
            run(path)
            code = 0
        finally:
            os._exit(code)
    if os.waitpid(child, 0)[1]:
        print(path.name)
"""


def draw(form, generator):
    """Gives every range a width of its own, over fourteen powers of ten."""
    for layer in form.layers:
        if isinstance(layer, FakeQuant) and layer.fixed is None:
            high = 10.0 ** generator.uniform(-7, 7)
            low = -high * (1.0 if layer.symmetric else generator.choice([0.0, 0.3, 1.0]))
            layer.set_range(low, high)
    freeze(form)


def test_no_range_ends_the_process_that_runs_the_file(tmp_path):
    generator, refused = np.random.default_rng(0), 0
    for name, case in CASES.items():
        if not case.has_int8:
            continue
        form = case.quantized()
        for number in range(DRAWS):
            draw(form, generator)
            try:
                content = emit_tflite(form, case.size)
            except ValueError as error:
                assert any(reason in str(error) for reason in REASONS)
                refused += 1
                continue
            (tmp_path / f"{name.replace(' ', '_')}_{number}").write_bytes(content)
    written = len(list(tmp_path.iterdir()))
    # Most convolutions are refused, and nothing else.
    assert written > refused > 0
    assert finish(start(RUN, tmp_path)) == ""
