"""Properties that every layer has; a test gives the layer's numbers.

CASES = {"strips": LayerCase(Mixer, {"global_branch": "strip_conv"}, ...)}

@all_checks(CASES)
def test_layer(case, check):
    check(case)
"""

import dataclasses
import functools
import inspect
import json
import pathlib
import tempfile
from collections.abc import Mapping

import keras
import numpy as np
from keras import ops

from tests.care_keras.helpers import COMPILE, every_check, infer, numpy_of, randomize_weights

BATCH = 3


@dataclasses.dataclass(frozen=True)
class LayerCase:
    """One configuration of a layer, and what it must come to.

    Attributes:
        layer: The class.
        kwargs: Constructor arguments; unlike their defaults where possible.
        shapes: Input shape to output shape, without the batch. The input is a
            pair of shapes for a layer of two inputs.
        trainable_weights: Number of trainable weights.
        non_trainable_weights: Number of others, random seeds not counted.
        output_dtype: Dtype of the output under every policy; `None` for the
            policy's compute dtype.
        without_gradient: Paths' endings of weights that the loss cannot depend
            on, by the architecture.
    """

    layer: type[keras.layers.Layer]
    kwargs: dict
    shapes: Mapping[tuple, tuple]
    trainable_weights: int
    non_trainable_weights: int = 0
    output_dtype: str | None = None
    without_gradient: tuple[str, ...] = ()

    def build(self, dtype=None) -> keras.layers.Layer:
        """The layer, with weights that are neither zero nor equal."""
        layer = self.layer(**self.kwargs, dtype=dtype)
        layer.build(map_shapes(lambda shape: (None, *shape), self.input_shape))
        randomize_weights(layer)
        return layer

    @property
    def input_shape(self) -> tuple:
        return next(iter(self.shapes))

    def inputs(self, shape=None):
        """Random inputs of the first shape, or of the one given."""
        rng = np.random.default_rng(7)
        return map_shapes(
            lambda s: rng.normal(size=(BATCH, *s)).astype("float32"), shape or self.input_shape
        )


def map_shapes(function, shape):
    """`function(shape)`, or a list of two for a pair of shapes."""
    return [function(part) for part in shape] if isinstance(shape[0], tuple) else function(shape)


def check_output_shapes(case: LayerCase) -> None:
    layer = case.build()
    for input_shape, output_shape in case.shapes.items():
        outputs = infer(layer, case.inputs(input_shape))
        assert tuple(outputs.shape) == (BATCH, *output_shape)
        assert np.isfinite(numpy_of(outputs)).all()


def check_unknown_sizes(case: LayerCase) -> None:
    """The symbolic call with `None` sizes; the one model then serves all sizes."""

    def opened(shape):
        return (None, None, shape[-1]) if len(shape) == 3 else shape

    layer = case.build()
    inputs = map_shapes(lambda shape: keras.Input(opened(shape)), case.input_shape)
    outputs = layer(inputs)
    model = keras.Model(inputs, outputs)
    assert tuple(outputs.shape) == (None, *opened(case.shapes[case.input_shape]))
    for input_shape, output_shape in case.shapes.items():
        assert infer(model, case.inputs(input_shape)).shape == (BATCH, *output_shape)


def check_config(case: LayerCase) -> None:
    config = case.layer(**case.kwargs, name="some_name", dtype="mixed_bfloat16").get_config()
    arguments = set(inspect.signature(case.layer.__init__).parameters) - {"self", "kwargs"}
    assert arguments <= set(config)
    assert {key: config[key] for key in case.kwargs} == case.kwargs
    restored = case.layer.from_config(json.loads(json.dumps(config)))
    assert restored.get_config() == config
    assert restored.dtype_policy.name == "mixed_bfloat16"
    registered_name = keras.saving.get_registered_name(case.layer)
    assert registered_name == f"care_keras>{case.layer.__name__}"


def check_saved_model(case: LayerCase) -> None:
    inputs = map_shapes(keras.Input, case.input_shape)
    model = keras.Model(inputs, case.build()(inputs))
    expected = numpy_of(infer(model, case.inputs()))
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "model.keras")
        model.save(path)
        loaded = keras.models.load_model(path)
    np.testing.assert_allclose(numpy_of(infer(loaded, case.inputs())), expected, rtol=0, atol=1e-6)


def check_dtype_policies(case: LayerCase) -> None:
    """Outputs of the policy's dtype, near the float32 ones, from float32 weights."""
    reference = case.build()
    expected = numpy_of(infer(reference, case.inputs()))
    for dtype, tolerance in (("float16", 5e-3), ("bfloat16", 4e-2)):
        layer = case.build(f"mixed_{dtype}")
        outputs = infer(layer, case.inputs())
        assert keras.backend.standardize_dtype(outputs.dtype) == (case.output_dtype or dtype)
        assert {weight.dtype for weight in layer.weights} <= {"float32"}
        difference = np.abs(numpy_of(outputs) - expected).max()
        assert difference <= tolerance * np.abs(expected).max()


def check_weight_counts(case: LayerCase) -> None:
    layer = case.build()
    assert len(layer.trainable_weights) == case.trainable_weights
    assert len(layer.non_trainable_weights) == case.non_trainable_weights
    assert len({weight.path for weight in layer.weights}) == len(layer.weights)


class Flattened(keras.Model):
    """The layer's training outputs side by side, whatever their structure."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def call(self, inputs):
        outputs = keras.tree.flatten(self.layer(inputs, training=True))
        return ops.concatenate(
            [ops.reshape(x, (BATCH, int(np.prod(x.shape[1:])))) for x in outputs], axis=-1
        )


def check_training_moves_every_weight(case: LayerCase) -> None:
    layer = case.build()
    model = Flattened(layer)
    inputs = case.inputs()
    targets = np.random.default_rng(5).normal(size=model(inputs).shape)
    before = [numpy_of(weight) for weight in layer.weights]
    model.compile(keras.optimizers.Adam(1e-2), loss="mse", **COMPILE)
    model.fit(inputs, targets, batch_size=BATCH, epochs=1, verbose=0)
    still = [
        weight.path
        for weight, old in zip(layer.weights, before, strict=True)
        if np.abs(numpy_of(weight) - old).max() < 1e-3
        and not weight.path.endswith(case.without_gradient or ("/",))
    ]
    assert not still


def check_inference(case: LayerCase) -> None:
    """Nothing random, and no sample sees another one."""
    layer = case.build()
    inputs = case.inputs()
    outputs = numpy_of(infer(layer, inputs))
    again = numpy_of(infer(layer, inputs))
    np.testing.assert_array_equal(again, outputs)
    alone = keras.tree.map_structure(lambda x: x[1:2], inputs)
    np.testing.assert_allclose(numpy_of(infer(layer, alone)), outputs[1:2], rtol=1e-4, atol=1e-5)


CHECKS = (
    check_output_shapes,
    check_unknown_sizes,
    check_config,
    check_saved_model,
    check_dtype_policies,
    check_weight_counts,
    check_training_moves_every_weight,
    check_inference,
)


all_checks = functools.partial(every_check, CHECKS)


def impulse_response(layer, size: tuple[int, int], channels: int, channel: int) -> np.ndarray:
    """Where the output changes if the middle pixel of one input channel does.

    Returns:
        bool array of shape `(height, width, output channels)`.
    """
    inputs = np.random.default_rng(1).normal(size=(1, *size, channels)).astype("float32")
    changed = inputs.copy()
    changed[0, size[0] // 2, size[1] // 2, channel] += 1.0
    before = numpy_of(infer(layer, inputs))
    return (np.abs(numpy_of(infer(layer, changed)) - before) > 1e-6)[0]
