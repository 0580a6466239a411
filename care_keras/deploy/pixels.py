"""A deploy form whose images are pixels from 0 to 255, what a file of raw pixels takes."""

import keras
import numpy as np

from care_keras.data.preprocessing import pixel_affine
from care_keras.data.record import Preprocessing, image_places
from care_keras.graph import input_structure, unfold
from care_keras.primitives import Conv2D, DepthwiseConv2D
from care_keras.primitives.deploy_model import DeployModel
from care_keras.primitives.folding import array, fold_affine_before, folds_affine_before


def pixel_records(model: DeployModel) -> dict[str, Preprocessing]:
    """How pixels become the inputs that take RGB or grey images, by the names of the inputs.

    Those of which the model does not say it are left out.
    """
    records = model.input_preprocessing
    if len(model.inputs) == 1:
        records = {model.inputs[0].name: model.preprocessing}
    found = {tensor.name: (tensor.shape, records.get(tensor.name)) for tensor in model.inputs}
    return {
        name: record
        for name, (shape, record) in found.items()
        if record is not None and image_places([shape]) and record.channels == shape[-1]
    }


def folds_pixels(record: Preprocessing, layer) -> bool:
    """Whether a convolution of an image can do its preprocessing as well, exactly."""
    if not isinstance(layer, (Conv2D, DepthwiseConv2D)):
        return False
    # A padded pixel is 0 once it is normalized, not before.
    return folds_affine_before(layer, pixel_affine(record)[1])


def fold_pixels(record: Preprocessing, layer) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and bias of such a convolution when it is given pixels."""
    weights = array(layer.kernel), array(layer.bias)
    return fold_affine_before(layer, *weights, *pixel_affine(record))


def with_normalization(model: DeployModel) -> DeployModel:
    """The model itself, if what reads its images folds the preprocessing; else one that does it.

    The layers of the result are those of `model`, with a depthwise convolution
    of one tap between an image and what cannot do without.

    Args:
        model: One with `pixel_records`; in the result, those of the images that such a
            convolution reads are of pixels.
    """
    graph, own = unfold(model), {}
    records = pixel_records(model)
    for place, tensor in enumerate(model.inputs):
        record, readers = records.get(tensor.name), graph.readers.get(place, ())
        if record and not all(folds_pixels(record, step.operation) for step in readers):
            scale, offset = pixel_affine(record)
            if np.any(offset) or np.any(scale != 1.0):
                own[tensor.name] = scale, offset
    if not own:
        return model
    inputs = [keras.Input(x.shape[1:], x.shape[0], x.dtype, name=x.name) for x in model.inputs]
    names = {operation.name for operation in model.operations}
    values = []
    for x in inputs:
        if x.name in own:
            prefix = "normalized_image" if len(inputs) == 1 else f"normalized_{x.name}"
            x = _normalized(x, *own[x.name], prefix, names)
        values.append(x)
    outputs = graph.run(values, lambda operation, *args, **kwargs: operation(*args, **kwargs))
    structure = keras.tree.pack_sequence_as(input_structure(model), inputs)
    result = DeployModel(structure, outputs, name=model.name).describe(model)
    taken = {name: one.taking_pixels() if name in own else one for name, one in records.items()}
    if len(inputs) == 1:
        (result.preprocessing,) = taken.values()
    else:
        result.input_preprocessing = taken
    return result


def _normalized(image, scale, offset, prefix, names):
    name = next(n for n in (prefix, f"{prefix}_of_pixels") if n not in names)
    normalize = DepthwiseConv2D((1, 1), name=name, dtype="float32")
    normalized = normalize(image)
    normalize.set_weights([scale.reshape(1, 1, -1, 1).astype("float32"), offset.astype("float32")])
    return normalized
