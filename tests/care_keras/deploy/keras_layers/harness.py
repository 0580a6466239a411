"""What holds for every layer of Keras that has a lowering; a case says how a model is made of it.

CASES = {"dense": LayerCase(lambda x: layers.Dense(4)(x)), ...}

@all_checks(CASES)
def test_layer(case, check):
    check(case)
"""

import dataclasses
import functools
import pathlib
import tempfile
from collections.abc import Callable

import keras
import numpy as np

from care_keras import primitives as p
from care_keras.deploy import DeployModel, fuse
from care_keras.emit.network import emit_tflite
from care_keras.graph import unfold
from care_keras.litert.file import LiteRTFile
from care_keras.metrics import snr_db
from care_keras.primitives.int8 import Output
from care_keras.quantization import calibrate, int8_ptq, quantize
from care_keras.reference import IntegerModel
from care_keras.tflite_file import read_graph
from care_keras.tflite_file.integer_audit import audit_integer_only, summarize
from tests.care_keras.helpers import every_check, numpy_of, randomize_weights

SIZE = (6, 8)
BATCH = 4


@dataclasses.dataclass(frozen=True, eq=False)
class LayerCase:
    """A model with a layer in it.

    Attributes:
        make: From a symbolic image to the model's outputs.
        snr: dB that the int8 file has over the float model, at least.
        any_size: Whether it takes images of any size.
        size: Height and width of the images.
        channels: Of the images.
        int8: Whether everything in it has an int8 form.
        low: The least number of the images, for what is not defined everywhere.
        tolerance: Of float32, in parts of the largest output.
    """

    make: Callable
    snr: float = 20.0
    any_size: bool = True
    size: tuple[int, int] = SIZE
    channels: int = 3
    int8: bool = True
    low: float | None = None
    tolerance: float = 1e-5

    def build(self, size=(None, None)) -> keras.Model:
        """The model for images of one size, or of any."""
        keras.utils.set_random_seed(5)
        image = keras.Input((*size, self.channels), name="image")
        model = keras.Model(image, self.make(image))
        randomize(model)
        return model

    def images(self, size, count=BATCH) -> np.ndarray:
        shape = (count, *size, self.channels)
        images = np.random.default_rng(7).normal(size=shape).astype("float32")
        return images if self.low is None else np.abs(images) + self.low

    @functools.cached_property
    def model(self) -> keras.Model:
        return self.build(self.size)

    @functools.cached_property
    def inputs(self) -> np.ndarray:
        return self.images(self.size)

    @functools.cached_property
    def expected(self) -> list[np.ndarray]:
        """What Keras computes."""
        return arrays_of(run(self.model, self.inputs))

    @functools.cached_property
    def deployed(self) -> DeployModel:
        return fuse(self.model)

    @functools.cached_property
    def quantized(self) -> DeployModel:
        """Calibrated with more images than it is tried on."""
        config = int8_ptq(raw_pixels=False)
        form = quantize(self.deployed, config)
        calibrate(form, [self.images(self.size, 2 * BATCH)], config)
        return form

    def assert_expected(self, outputs, expected=None) -> None:
        """Equal to what Keras computes, but for rounding."""
        expected = self.expected if expected is None else expected
        assert [x.shape for x in outputs] == [x.shape for x in expected]
        for one, other in zip(outputs, expected, strict=True):
            scale = np.abs(other).max()
            assert np.isfinite(scale) and scale > 0.01
            assert np.abs(one - other).max() <= self.tolerance * max(scale, 1.0)


def randomize(model) -> None:
    """Draws weights that no default hides a fault of, and keeps what was adapted."""
    kept = [
        (weight, numpy_of(weight))
        for step in unfold(model).steps
        if isinstance(step.operation, keras.layers.Normalization)
        for weight in step.operation.weights
    ]
    randomize_weights(model)
    for weight, value in kept:
        weight.assign(value)


def run(model, inputs):
    """What a model computes at inference."""
    # Not by `infer`: JAX is quicker with operations that other cases have as well.
    return model(inputs, training=False)


def arrays_of(outputs) -> list[np.ndarray]:
    return [numpy_of(x) for x in keras.tree.flatten(outputs)]


def names_of(outputs) -> list:
    """Of the same structure as outputs, the paths in it."""
    return [path for path, _ in keras.tree.flatten_with_path(outputs)]


def check_fused(case: LayerCase) -> None:
    """Primitives alone compute what the layer does, in the model's own structure."""
    assert case.deployed.foreign_reasons == {}
    assert case.deployed.foreign_operations == []
    outputs = run(case.deployed, case.inputs)
    case.assert_expected(arrays_of(outputs))
    assert names_of(outputs) == names_of(case.model.output)
    assert {weight.dtype for weight in case.deployed.weights} <= {"float32"}


def check_any_size(case: LayerCase) -> None:
    """A model for images of any size computes the same of another one."""
    if not case.any_size:
        return
    model = case.build()
    deployed = fuse(model)
    assert deployed.foreign_reasons == {}
    images = case.images((case.size[0] + 1, case.size[1] + 3), 2)
    case.assert_expected(arrays_of(run(deployed, images)), arrays_of(run(model, images)))


def check_saved(case: LayerCase) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "deploy.keras")
        case.deployed.save(path)
        loaded = keras.models.load_model(path, safe_mode=True)
    case.assert_expected(arrays_of(run(loaded, case.inputs)))


def _by_litert(case, form):
    """The file of a form, and what it gives for each image by name, in Keras's order of outputs."""
    file = LiteRTFile(emit_tflite(form, case.size))
    (image,) = file.inputs.values()
    codes = [file.run(image.quantize(x[None])) for x in case.inputs]
    names = list(file.outputs)
    if isinstance(case.model.output, dict):
        names = sorted(names)
    elif len(names) > 1:
        names = case.deployed.output_names
    return file, {name: np.concatenate([one[name] for one in codes]) for name in names}


def check_float32_file(case: LayerCase) -> None:
    _, outputs = _by_litert(case, case.deployed)
    case.assert_expected(list(outputs.values()))


def check_int8_file(case: LayerCase) -> None:
    """Integers alone, close to the float model, and to the code what the reference computes."""
    if not case.int8:
        lacking = [x for x in case.deployed.layers if isinstance(x, p.Primitive)]
        assert any(x.int8.output is Output.NONE for x in lacking)
        return
    content = emit_tflite(case.quantized, case.size)
    findings = audit_integer_only(read_graph(content))
    assert not summarize([one for one in findings if one.severity != "info"])
    file, codes = _by_litert(case, case.quantized)
    names = list(codes)
    for (name, one), expected in zip(codes.items(), case.expected, strict=True):
        info = file.outputs[name]
        assert info.dtype == np.int8
        assert snr_db(info.dequantize(one), expected) > case.snr
    reference = IntegerModel(content)
    outputs = reference.run(reference.input.quantize(case.inputs))
    for name, own in (outputs if isinstance(outputs, dict) else {names[0]: outputs}).items():
        np.testing.assert_array_equal(own, codes[name])


CHECKS = (check_fused, check_any_size, check_saved, check_float32_file, check_int8_file)

all_checks = functools.partial(every_check, CHECKS)
