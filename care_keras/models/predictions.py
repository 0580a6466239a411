"""`preprocess_input` and `decode_predictions`, in the manner of `keras.applications`."""

import keras
import numpy as np

from care_keras.data.record import Preprocessing
from care_keras.models.config import CARE_S0


def preprocess_input(
    x, preprocessing: Preprocessing | None = None
) -> np.ndarray | keras.KerasTensor:
    """Normalizes pixels the way the weights expect: `(pixel / 255 - mean) / std`.

    Resizing and cropping are left to the caller;
    `care_keras.data.preprocessing.prepare` does the whole.

    Args:
        x: RGB pixels from 0 to 255 of shape `(..., 3)`, or `(..., 1)` of grey
            images, a NumPy array or a tensor of the backend.
        preprocessing: The model's record (`model.preprocessing`); by default
            that of the ImageNet models.

    Returns:
        Floats of the same shape, a NumPy array if `x` is one.

    Raises:
        ValueError: If the last axis is not that of the record's channels.
    """
    record = preprocessing or CARE_S0.preprocessing
    if x.shape[-1] != record.channels:
        what = "RGB" if record.channels > 1 else "grey values"
        raise ValueError(f"`x` must hold {what} in its last axis. Received: shape={tuple(x.shape)}")
    # Imported here, as Pillow is of no use to whoever only builds a model.
    from care_keras.data.preprocessing import normalization, normalize

    if isinstance(x, np.ndarray):
        return normalize(x, record)
    scale, offset = (keras.ops.convert_to_tensor(one) for one in normalization(record))
    return keras.ops.cast(x, "float32") * scale + offset


def decode_predictions(predictions, top: int = 5, labels=None) -> list[list[tuple]]:
    """Names the best classes of each prediction.

    Args:
        predictions: Probabilities or logits of shape `(batch, classes)`.
        top: Classes per image.
        labels: Names of the classes (`model.labels`). By default the 1000 of
            ImageNet, whose names Keras downloads once, pinned by a hash.

    Returns:
        Per image a list of `(class_id, name, score)`, best first, as
        `keras.applications` gives it: the WordNet id for ImageNet, the index
        for `labels`.

    Raises:
        ValueError: If the shape does not fit the names, or ImageNet's cannot be downloaded.
    """
    predictions = keras.ops.convert_to_numpy(predictions)
    if labels is None:
        return _decode_imagenet(predictions, top)
    if predictions.ndim != 2 or predictions.shape[-1] != len(labels):
        raise ValueError(
            f"`predictions` must be of shape (batch, {len(labels)}). "
            f"Received: shape={predictions.shape}"
        )
    best = np.argsort(-predictions, axis=-1)[:, :top]
    return [
        [(int(i), labels[i], float(row[i])) for i in indices]
        for row, indices in zip(predictions, best, strict=True)
    ]


def _decode_imagenet(predictions, top):
    try:
        return keras.applications.imagenet_utils.decode_predictions(predictions, top=top)
    except ValueError:
        raise
    except Exception as error:  # Keras raises nothing more special where it cannot download.
        raise ValueError(
            "Keras cannot download the names of ImageNet's classes: pass `labels`, or put "
            "imagenet_class_index.json into the folder models/ of its cache. "
            "Received: labels=None"
        ) from error
