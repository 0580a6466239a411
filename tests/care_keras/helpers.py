"""What many tests share: tiny networks, random weights, inference."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np
import pytest
from keras import ops

from care_keras.models import (
    ABLATIONS,
    CAREBackbone,
    CAREClassifier,
    CAREConfig,
    Preprocessing,
    build_model,
)

# Two stages, one of each kind of block, for images whose sides differ.
TINY = CAREConfig(
    name="care_tiny",
    depths=(1, 1),
    channels=(8, 16),
    expansion_ratios=((1, 2), (2, 3)),
    head_dims=(None, 2),
    stem_stride=4,
    preprocessing=Preprocessing(
        height=16, width=24, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3), crop_ratio=1.0
    ),
    classes=3,
    layer_scale_init=0.1,
)

# The paper's ablations of it, wide enough to be split in every way.
TINY_ABLATIONS = {
    name: ablation.apply(dataclasses.replace(TINY, channels=(16, 32), head_dims=(None, 4)), name)
    for name, ablation in ABLATIONS.items()
}

# Compiling tiny models takes longer than running them uncompiled, but not under JAX.
COMPILE = {
    "jit_compile": keras.backend.backend() == "jax",
    "run_eagerly": keras.backend.backend() == "tensorflow",
}


def tiny_backbone(**kwargs) -> CAREBackbone:
    """A backbone of `TINY`, or of what `kwargs` replace, with random weights."""
    backbone = CAREBackbone(**{**TINY.backbone_kwargs(), **kwargs})
    randomize_weights(backbone)
    return backbone


def tiny_classifier(dtype=None, **kwargs) -> CAREClassifier:
    """A classifier on the tiny backbone with random weights."""
    model = CAREClassifier(tiny_backbone(dtype=dtype), **{"classes": TINY.classes, **kwargs})
    randomize_weights(model)
    return model


def tiny_ablation(name: str, **kwargs) -> CAREClassifier | CAREBackbone:
    """An ablation of a tiny model with random weights; logits come out."""
    model = build_model(TINY_ABLATIONS[name], classifier_activation=None, **kwargs)
    # Larger ones leave attention of some ablations a denominator that is all rounding.
    randomize_weights(model, scale=0.15)
    return model


def random_images(count: int = 4, height: int = 16, width: int = 24, seed: int = 0) -> np.ndarray:
    """Inputs as preprocessing leaves them: about zero mean and unit variance."""
    shape = (count, height, width, 3)
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def randomize_weights(layer: keras.layers.Layer, seed: int = 3, scale: float = 0.3) -> None:
    """Draws every weight anew, so that no default value hides a fault."""
    rng = np.random.default_rng(seed)
    for weight in layer.weights:
        if weight.name == "moving_variance":
            value = rng.uniform(0.5, 1.5, weight.shape)
        elif weight.name == "gamma":
            value = rng.uniform(0.5, 1.0, weight.shape)
        else:
            value = rng.normal(0.0, scale, weight.shape)
        weight.assign(value)


def numpy_of(outputs) -> np.ndarray:
    """A tensor of any float dtype as float32 in NumPy."""
    return ops.convert_to_numpy(ops.cast(outputs, "float32"))


def infer(layer, inputs, training=False):
    """`layer(inputs)`; compiled as a whole by JAX, which is quicker there."""
    if keras.backend.backend() != "jax":
        return layer(inputs, training=training)
    if not layer.built:
        layer.build(keras.tree.map_structure(np.shape, inputs))
    values = [variable.value for variable in layer.variables]
    return _jitted(layer, training)(values, inputs)


@functools.lru_cache(maxsize=16)
def _jitted(layer, training):
    import jax

    def call(values, inputs):
        # Not `stateless_call`: it leaves out what `__call__` does, casts among them.
        with keras.StatelessScope(zip(layer.variables, values, strict=True)):
            return layer(inputs, training=training)

    return jax.jit(call)


def every_check(checks: Sequence[Callable], cases: Mapping[str, object]):
    """Decorates `test(case, check)` to run every check on every case."""

    def decorate(test):
        names = [check.__name__.removeprefix("check_") for check in checks]
        test = pytest.mark.parametrize("check", checks, ids=names)(test)
        return pytest.mark.parametrize("case", list(cases.values()), ids=list(cases))(test)

    return decorate
