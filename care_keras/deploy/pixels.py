"""A deploy form whose image is pixels from 0 to 255, what a file of raw pixels takes."""

import keras
import numpy as np

from care_keras.data.preprocessing import pixel_affine
from care_keras.data.record import image_places
from care_keras.graph import unfold
from care_keras.primitives import Conv2D, DepthwiseConv2D
from care_keras.primitives.deploy_model import DeployModel
from care_keras.primitives.folding import array, fold_affine_before, folds_affine_before


def takes_raw_pixels(model: DeployModel) -> bool:
    """Whether a model has one input, RGB or grey images, and says how pixels become that."""
    shapes, record = [tensor.shape for tensor in model.inputs], model.preprocessing
    one_image = len(shapes) == 1 and bool(image_places(shapes))
    return one_image and record is not None and record.channels == shapes[0][-1]


def folds_pixels(model: DeployModel, layer) -> bool:
    """Whether a convolution of the image can do its preprocessing as well, exactly."""
    if not isinstance(layer, (Conv2D, DepthwiseConv2D)):
        return False
    # A padded pixel is 0 once it is normalized, not before.
    return folds_affine_before(layer, pixel_affine(model.preprocessing)[1])


def fold_pixels(model: DeployModel, layer) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and bias of such a convolution when it is given pixels."""
    weights = array(layer.kernel), array(layer.bias)
    return fold_affine_before(layer, *weights, *pixel_affine(model.preprocessing))


def with_normalization(model: DeployModel) -> DeployModel:
    """The model itself, if what reads its image folds the preprocessing; else one that does it.

    The layers of the result are those of `model`, with a depthwise convolution
    of one tap between the image and what cannot do without.

    Args:
        model: One that `takes_raw_pixels`; the result takes pixels, and says so.
    """
    scale, offset = pixel_affine(model.preprocessing)
    graph = unfold(model)
    readers = graph.readers.get(0, ())
    plain = not np.any(offset) and np.all(scale == 1.0)
    if plain or all(folds_pixels(model, step.operation) for step in readers):
        return model
    (image,) = (keras.Input(x.shape[1:], x.shape[0], x.dtype, name=x.name) for x in model.inputs)
    names = {operation.name for operation in model.operations}
    name = next(n for n in ("normalized_image", "normalized_image_of_pixels") if n not in names)
    normalize = DepthwiseConv2D((1, 1), name=name, dtype="float32")
    normalized = normalize(image)
    normalize.set_weights([scale.reshape(1, 1, -1, 1).astype("float32"), offset.astype("float32")])
    outputs = graph.run([normalized], lambda operation, *args, **kwargs: operation(*args, **kwargs))
    result = DeployModel(image, outputs, name=model.name).describe(model)
    result.preprocessing = model.preprocessing.taking_pixels()
    return result
