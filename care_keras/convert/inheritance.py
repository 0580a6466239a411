"""What a model built on a CARE backbone takes over from it: how its images are prepared."""

import itertools

import keras

from care_keras.data.record import Preprocessing
from care_keras.graph import functional_form, unfold
from care_keras.layers import CAREBlock
from care_keras.models.ablations import CONFIGS
from care_keras.models.config import CAREConfig

# Layers that make of pixels what a network wants.
_PREPARING = (keras.layers.Rescaling, keras.layers.Normalization)
# Operations that arithmetic in front of a network is made of.
_ARITHMETIC = ("Add", "Subtract", "Multiply", "Divide", "TrueDivide", "Cast")


def wants_pixels(model: keras.Model, place: int = 0) -> bool:
    """Whether a model prepares its images itself: a Rescaling, or the like, stands in front.

    Args:
        model: The model.
        place: Of its input that takes images.
    """
    if functional_form(model) is None:
        return False
    graph, value = unfold(model), place
    while len(readers := graph.readers.get(value, ())) == 1:
        (step,) = readers
        operation = step.operation
        if isinstance(operation, _PREPARING) or type(operation).__name__ in _ARITHMETIC:
            return True
        changes_values = operation.weights if isinstance(operation, keras.layers.Layer) else True
        if changes_values or len(step.outputs) != 1:
            return False
        (value,) = step.outputs
    return False


def backbone_config(model: keras.Model) -> CAREConfig | None:
    """The config of the CARE backbone in a model, by its blocks; `None` of another one."""
    if functional_form(model) is None:
        return None
    blocks = {
        step.operation: None
        for step in unfold(model).steps
        if isinstance(step.operation, CAREBlock)
    }
    stages = [(width, len(list(group))) for width, group in itertools.groupby(blocks, _width)]
    for config in CONFIGS.values():
        if stages and stages == list(zip(config.channels, config.depths, strict=True)):
            return config
    return None


def _width(block):
    return block.input.shape[-1]


def inherited_preprocessing(model: keras.Model) -> tuple[Preprocessing, str] | None:
    """The record of the backbone in a model, and the backbone's name; `None` without one."""
    config = backbone_config(model)
    return None if config is None else (config.preprocessing, config.name)
