"""Properties that every primitive has, from its call to its int8 file; a case gives the numbers.

CASES = {"sums": PrimitiveCase(p.Add, [Source(5), Source(5)], lambda x, y: x + y), ...}

@all_checks(CASES)
def test_primitive(case, check):
    check(case)
"""

import dataclasses
import functools
import inspect
import json
import pathlib
import tempfile
from collections.abc import Callable, Sequence

import keras
import numpy as np
import pytest

from care_keras import primitives as p
from care_keras.deploy import DeployModel, fuse
from care_keras.emit.network import emit_tflite
from care_keras.litert.model import LiteRTModel
from care_keras.metrics import snr_db
from care_keras.primitives.fused_activation import FusedActivation
from care_keras.primitives.int8 import Fixed, Output
from care_keras.quantization import FakeQuant, calibrate, int8_ptq, quantize
from care_keras.reference import IntegerModel
from tests.care_keras.helpers import every_check, numpy_of, randomize_weights
from tests.care_keras.quantization.samples import graph_of

BATCH = 6
# Of the image that every model here starts from.
CHANNELS = 3
NAME = "tested"


@dataclasses.dataclass(frozen=True)
class Source:
    """One input of a primitive: a 1x1 convolution of the image, which gives it a range of its own.

    Attributes:
        channels: That the convolution makes.
        through: Makes what the primitive takes of its map, by other primitives.
    """

    channels: int
    through: Callable = lambda x: x


@dataclasses.dataclass(frozen=True, eq=False)
class PrimitiveCase:
    """One configuration of a primitive, and what it computes.

    Attributes:
        primitive: The class.
        sources: Its inputs.
        formula: The same in NumPy: of its inputs and its weights, all float64.
        kwargs: Constructor arguments.
        size: Height and width of the image.
    """

    primitive: type[p.Primitive]
    sources: Sequence[Source]
    formula: Callable
    kwargs: dict = dataclasses.field(default_factory=dict)
    size: tuple[int, int] = (4, 6)

    @functools.cached_property
    def feed(self) -> keras.Model:
        """From images of any size to the primitive's inputs."""
        images = keras.Input((None, None, CHANNELS), name="images")
        inputs = []
        for number, source in enumerate(self.sources):
            conv = p.Conv2D(source.channels, name=f"source{number}")
            inputs.append(source.through(conv(images)))
        model = keras.Model(images, inputs)
        randomize_weights(model, scale=0.6)
        return model

    @functools.cached_property
    def layer(self) -> p.Primitive:
        """The primitive, with weights that are neither zero nor equal."""
        layer = self.primitive(**self.kwargs, name=NAME)
        layer.build(_one_or_all([x.shape for x in self.feed.outputs]))
        randomize_weights(layer, seed=5)
        return layer

    @functools.cached_property
    def model(self) -> keras.Model:
        """From images to the primitive's output."""
        return keras.Model(self.feed.inputs[0], self.layer(_one_or_all(self.feed.outputs)))

    @functools.cached_property
    def images(self) -> np.ndarray:
        shape = (BATCH, *self.size, CHANNELS)
        return np.random.default_rng(7).normal(size=shape).astype("float32")

    @functools.cached_property
    def inputs(self) -> list[np.ndarray]:
        """What the primitive meets behind these images."""
        return [numpy_of(x) for x in keras.tree.flatten(self.feed(self.images))]

    @functools.cached_property
    def expected(self) -> np.ndarray:
        """What the formula makes of it."""
        weights = [numpy_of(weight) for weight in self.layer.weights]
        return self.formula(*(x.astype(np.float64) for x in (*self.inputs, *weights)))

    @functools.cached_property
    def deployed(self) -> DeployModel:
        return fuse(self.model)

    @property
    def has_int8(self) -> bool:
        return self.primitive.int8.output is not Output.NONE

    @property
    def gives_places(self) -> bool:
        return self.primitive.int8.output is Output.INTEGER

    def quantized(self, **config) -> DeployModel:
        """A calibrated quantized form."""
        config = int8_ptq(raw_pixels=False, **config)
        form = quantize(self.deployed, config)
        calibrate(form, [self.images], config)
        return form

    @functools.cached_property
    def int8(self) -> DeployModel:
        """The same for checks that do not change it, all of it in int8."""
        return self.quantized()

    def assert_computed(self, outputs: np.ndarray) -> None:
        assert outputs.shape == self.expected.shape
        atol = 2e-6 * max(np.abs(self.expected).max(), 1.0)
        np.testing.assert_allclose(outputs, self.expected, rtol=1e-6, atol=atol)


def _one_or_all(values):
    return values[0] if len(values) == 1 else list(values)


def _run(model, inputs):
    # Not by `infer`: JAX is quicker with operations that other cases have as well.
    return numpy_of(model(inputs))


def _saved(model):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "model.keras")
        model.save(path)
        return keras.models.load_model(path, safe_mode=True)


def check_formula(case: PrimitiveCase) -> None:
    case.assert_computed(_run(case.layer, _one_or_all(case.inputs)))


def check_output_shape(case: PrimitiveCase) -> None:
    """Of known sizes, and of a model for images of any size."""
    shapes = _one_or_all([x.shape for x in case.inputs])
    assert tuple(case.layer.compute_output_shape(shapes)) == case.expected.shape
    batch, *symbolic = case.model.output.shape
    assert batch is None and len(symbolic) == case.expected.ndim - 1
    for size, real in zip(symbolic, case.expected.shape[1:], strict=True):
        assert size in (None, real)


def check_config(case: PrimitiveCase) -> None:
    config = case.layer.get_config()
    assert set(case.kwargs) <= arguments(case.primitive) <= set(config)
    assert {key: config[key] for key in case.kwargs} == case.kwargs
    restored = case.primitive.from_config(json.loads(json.dumps(config)))
    assert restored.get_config() == config
    registered_name = keras.saving.get_registered_name(case.primitive)
    assert registered_name == f"care_keras>{case.primitive.__name__}"


def arguments(primitive: type[p.Primitive]) -> set[str]:
    """Names of what a primitive's constructor takes, beside what every layer's takes."""
    kinds = [primitive, *({FusedActivation} & set(primitive.__mro__))]
    names = {name for kind in kinds for name in inspect.signature(kind.__init__).parameters}
    return names - set(inspect.signature(p.Primitive.__init__).parameters)


def check_saved_model(case: PrimitiveCase) -> None:
    loaded = _saved(case.model)
    assert type(loaded.get_layer(NAME)) is case.primitive
    case.assert_computed(_run(loaded, case.images))


def check_fused(case: PrimitiveCase) -> None:
    """A primitive lowers to itself."""
    layer = case.deployed.get_layer(NAME)
    assert type(layer) is case.primitive and layer is not case.layer
    assert layer.get_config() == case.layer.get_config()
    assert case.deployed.foreign_operations == []
    case.assert_computed(_run(case.deployed, case.images))


def check_float32_file(case: PrimitiveCase) -> None:
    file = LiteRTModel(emit_tflite(case.deployed, case.size))
    assert file.output.dtype == (np.int32 if case.gives_places else np.float32)
    case.assert_computed(file.predict(case.images))


def check_row(case: PrimitiveCase) -> None:
    """The quantized form does what the primitive's row of the table of operations says."""
    row = case.primitive.int8
    if not case.has_int8:
        refused = rf"no int8 form.*Received: '{NAME}' \({case.primitive.__name__}\)$"
        with pytest.raises(ValueError, match=refused):
            quantize(case.deployed)
        return
    steps = graph_of(case.int8)
    own = [(layer, sources) for layer, sources, output in steps if output == NAME]
    assert len(own) == (0 if row.left_out else 1)
    outputs = _run(case.int8, case.images)
    if row.left_out:
        # Far below a code where it is used, but not here.
        assert snr_db(outputs, case.inputs[0]) > 20.0
        return
    assert case.gives_places or snr_db(outputs, case.expected) > 20.0
    ((layer, sources),) = own
    assert type(layer) is case.primitive.quantized()
    before = [_range_of(source, steps) for source in sources]
    behind = [one for one, read, _ in steps if read == [NAME]]
    assert all(isinstance(one, FakeQuant) for one in behind)
    if row.joins_inputs:
        assert len(set(before)) == 1
    for place, one in enumerate(before):
        symmetric = place in row.symmetric_inputs
        assert one.symmetric == symmetric and (not symmetric or one.parameters()[1] == 0)
    if case.gives_places:
        assert behind == [] and case.int8.output.dtype == case.deployed.output.dtype == "int32"
        assert np.mean(outputs == case.expected) > 0.9
        return
    if row.output is Output.LIKE_INPUT:
        assert behind == ([before[0]] if row.interpolates else [])
        _assert_codes(outputs, *before[0].parameters())
        return
    (after,) = behind
    assert after not in before
    _assert_codes(outputs, *after.parameters())
    if isinstance(row.output, Fixed):
        assert after.parameters() == (np.float32(row.output.scale), row.output.zero_point)
    else:
        assert after.fixed is None
        assert after.relative == before[0].relative == row.relative
    if row.term_steps:
        least, most = row.term_steps
        for one in before:
            step = one.parameters()[0] / after.parameters()[0]
            assert 0.999 * least <= step <= 1.001 * most


def _range_of(name, steps) -> FakeQuant:
    """What rounds a tensor, or the one whose numbers it takes over."""
    ((layer, sources),) = [(layer, sources) for layer, sources, output in steps if output == name]
    return layer if isinstance(layer, FakeQuant) else _range_of(sources[0], steps)


def _assert_codes(values, scale, zero_point):
    codes = values / scale + zero_point
    np.testing.assert_allclose(codes, np.rint(codes), rtol=0, atol=1e-3)
    assert codes.min() > -128.5 and codes.max() < 127.5


def check_saved_kernel(case: PrimitiveCase) -> None:
    """The class that takes the primitive's place, where there is one."""
    if case.primitive.quantized() is case.primitive:
        return
    loaded = _saved(case.int8)
    assert type(loaded.get_layer(NAME)) is case.primitive.quantized()
    np.testing.assert_array_equal(*(_run(form, case.images) for form in (loaded, case.int8)))


def check_int8_file(case: PrimitiveCase) -> None:
    """LiteRT and the reference agree to the code, Keras agrees closely."""
    if not case.has_int8:
        return
    file = LiteRTModel(emit_tflite(case.int8, case.size))
    model = IntegerModel(case.int8, case.size)
    assert file.input.dtype == np.int8
    assert file.output.dtype == (np.int32 if case.gives_places else np.int8)
    assert model.input == file.input and model.output == file.output
    codes = np.concatenate([model.input.quantize(case.images), _odd_codes(case.images.shape)])
    outputs = model.run(codes)
    assert len(np.unique(outputs)) > (2 if case.gives_places else 8)
    np.testing.assert_array_equal(outputs, np.concatenate([file.run(x[None]) for x in codes]))
    assert snr_db(model.predict(case.images), _run(case.int8, case.images)) > 25.0


def _odd_codes(shape):
    """Images of the ends of the codes, of noise, and of single pixels."""
    generator = np.random.default_rng(1)
    noise = generator.integers(-128, 128, shape, dtype=np.int8)
    ends = generator.choice(np.asarray([-128, 127], np.int8), shape)
    flat = np.full((2, *shape[1:]), [[[[-128]]], [[[127]]]], np.int8)
    pixels = np.full((2, *shape[1:]), -1, np.int8)
    pixels[0, 0, 0], pixels[1, -1, -1] = 127, -128
    return np.concatenate([noise, ends, flat, pixels])


def check_16_bits(case: PrimitiveCase) -> None:
    """A layer of 16 bits among int8 ones, or a refusal."""
    if not case.has_int8:
        return
    if "int16" not in case.primitive.int8.precisions:
        with pytest.raises(ValueError, match=f"{case.primitive.__name__} has no 16-bit form"):
            case.quantized(overrides={NAME: "int16"})
        return
    form = case.quantized(observer="min_max", overrides={NAME: "int16"})
    file = LiteRTModel(emit_tflite(form, case.size))
    assert file.output.dtype == np.int16
    assert snr_db(file.predict(case.images), case.expected) > 20.0


CHECKS = (
    check_formula,
    check_output_shape,
    check_config,
    check_saved_model,
    check_fused,
    check_float32_file,
    check_row,
    check_saved_kernel,
    check_int8_file,
    check_16_bits,
)


all_checks = functools.partial(every_check, CHECKS)
