"""Trains a segmenter on CARE-XS on CamVid in minutes of one GPU.

    KERAS_BACKEND=jax python -m examples.on_gpu.camvid --data=camvid --output=camvid.keras

The same network and loss as `python -m care_keras.train --task=segmentation`,
with the same kinds of augmentation, made on the GPU.
"""

import dataclasses
import os
import time

from absl import flags

if __name__ == "__main__":
    os.environ.setdefault("CARE_KERAS_COMMAND", "1")  # Flags first, then Keras.

from care_keras.console import cli
from care_keras.console.optional import require

_DATA = flags.DEFINE_string("data", None, "Folder of images and labels.", required=True)
_SPLIT = flags.DEFINE_string("split", "train", "Which images to train on.")
_OUTPUT = flags.DEFINE_string("output", None, "The .keras file to write.", required=True)
_EPOCHS = flags.DEFINE_integer("epochs", 0, "Epochs; 0: as many as fit into --seconds.")
_SECONDS = flags.DEFINE_float("seconds", 300.0, "Time for all of it.")
_BATCH = flags.DEFINE_integer("batch_size", 8, "Images per step.")
_RATE = flags.DEFINE_float("learning_rate", 2e-3, "Peak of the learning rate.")
_DROP_PATH = flags.DEFINE_float("drop_path", 0.1, "Rate of left out blocks.")
_SEED = flags.DEFINE_integer("seed", 0, "Of weights, order and augmentation.")

SIZE = (288, 384)
# Of the image: 1 where all of it just fits the input.
_SCALES = (0.75, 2.0)
# Largest relative changes of brightness, contrast and saturation.
_JITTER = 0.3


def main() -> None:
    """Trains, and writes the network with the averages of its weights."""
    end = time.perf_counter() + _SECONDS.value
    require("jax", "jax")
    import jax
    import numpy as np
    from jax import numpy as jnp

    from care_keras.data.segmentation import open_segmentation
    from care_keras.models import CAREBackbone, SemanticFPN
    from care_keras.models.config import CARE_XS
    from care_keras.segmentation.loss import SegmentationLoss, class_weights
    from examples.on_gpu.augmentation import placed, recoloured
    from examples.on_gpu.loop import Recipe, Training, prepare

    output = prepare(_OUTPUT.value, _SEED.value)
    source = open_segmentation(_DATA.value, _SPLIT.value)
    indices = range(len(source))
    data = {
        "images": np.stack([source[index] for index in indices]),
        "maps": np.stack([source.mask(index) for index in indices]),
    }
    record = dataclasses.replace(
        CARE_XS.preprocessing,
        height=SIZE[0],
        width=SIZE[1],
        fit="stretch",
        interpolation="bilinear",
    )
    mean, std = (np.asarray(values, np.float32) for values in (record.mean, record.std))
    backbone = CAREBackbone(
        **CARE_XS.backbone_kwargs(),
        drop_path_rate=_DROP_PATH.value,
        image_shape=(None, None, 3),
        name="backbone",
    )
    names = source.class_names
    model = SemanticFPN(
        backbone,
        len(names),
        preprocessing=record,
        labels=names,
        name="xs_segmentation",
    )
    pixels = np.bincount(data["maps"].ravel(), minlength=256)[: len(names)]
    recipe = Recipe(
        batch_size=_BATCH.value,
        learning_rate=_RATE.value,
        warmup_epochs=4,
        weight_decay=0.05,
        average=0.995,
        global_clipnorm=1.0,
        epochs=_EPOCHS.value,
        end=end,
    )

    def batch(data, rows, key):
        images = data["images"][rows].astype(jnp.float32) / 255.0
        # What is outside of an image becomes 0, the mean colour.
        images = recoloured(images, _JITTER, jax.random.fold_in(key, 0)) - mean
        images, maps = placed(images, data["maps"][rows], SIZE, _SCALES, jax.random.fold_in(key, 1))
        return images / std, maps

    loss = SegmentationLoss(class_weights(pixels))
    Training(model, recipe, data, batch, loss, _SEED.value).run(data)
    model.save(output)


if __name__ == "__main__":
    cli.run(main, input_errors=(ValueError,))
