"""What a classifier gives before its probabilities."""

import keras

from care_keras.graph import unfold
from care_keras.primitives import Reshape, Sigmoid, Softmax, SqueezePixels
from care_keras.primitives.deploy_model import DeployModel
from care_keras.quantization import FakeQuant


def logits_form(model: DeployModel) -> DeployModel:
    """A model of one output without the softmax at its end; the model itself if it has none.

    Its layers, and so its weights, are those of `model`.

    Args:
        model: A deploy form or a quantized form.

    Raises:
        ValueError: If it does not give one vector for an image, or ends in a
            sigmoid, so that its outputs are no classes of which one is right.
    """
    outputs = keras.tree.flatten(model.outputs)
    if len(outputs) != 1 or len(outputs[0].shape) != 2:
        shapes = ", ".join(str(tuple(x.shape)) for x in outputs)
        raise ValueError(f"A classifier gives one vector for an image. Received: outputs {shapes}")
    step = _last_function(model)
    if step is None:
        return model
    if isinstance(step.operation, Sigmoid):
        raise ValueError(
            "A classifier that ends in a sigmoid has no one right class. "
            f"Received: {step.operation.name!r}"
        )
    logits = step.operation.input
    if tuple(logits.shape) != tuple(outputs[0].shape):
        raise ValueError(
            f"What the softmax is of has another shape than the output. Received: {logits.shape}"
        )
    result = DeployModel(model.input, logits, name=f"{model.name}_logits").describe(model)
    result.precisions = {
        name: value for name, value in model.precisions.items() if name != step.operation.name
    }
    result.classifier_activation = "linear"
    return result


def _last_function(model):
    """The call of a softmax or sigmoid that the output comes from, or `None`."""
    graph = unfold(model)
    (value,) = graph.returned
    step = graph.producers[value]
    # A quantized form rounds what its last layer gives, too.
    while isinstance(step.operation, (FakeQuant, Reshape, SqueezePixels)):
        step = graph.producers.get(step.inputs[0])
        if step is None:
            return None
    return step if isinstance(step.operation, (Softmax, Sigmoid)) else None
