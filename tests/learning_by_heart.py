"""Whether 16 real images can be learnt by heart: `python -m tests.learning_by_heart`.

The small network of each task, under whatever backend `KERAS_BACKEND` names: AP of BCCD's boxes,
or the mean IoU of CamVid's maps, on the images that it was trained on. Exit code 1 below 0.9. It
takes minutes; the tests themselves look at a few steps.
"""

import os
import pathlib
import sys

import numpy as np
from absl import flags

os.environ.setdefault("CARE_KERAS_COMMAND", "1")  # Without Keras, as the project's commands.

from care_keras.console import cli

_TASK = flags.DEFINE_enum("task", "detection", ["detection", "segmentation"], "Which network.")
_STEPS = flags.DEFINE_integer("steps", 1200, "Steps of 8 images.", lower_bound=1)
_RATE = flags.DEFINE_float("learning_rate", 2e-3, "Peak learning rate.", lower_bound=0.0)
_DATA = flags.DEFINE_string(
    "data", None, "A folder with bccd/ and camvid/ (default: CARE_KERAS_TEST_DATA's dense/)."
)
_IMAGES, _SIZE = 16, (128, 160)


def main() -> None:
    """The command."""
    import keras

    from care_keras.data.preprocessing import prepare
    from care_keras.models import CARE_XS, Preprocessing

    keras.utils.set_random_seed(0)
    folder = _DATA.value or os.path.join(os.environ.get("CARE_KERAS_TEST_DATA", ""), "dense")
    record = Preprocessing(*_SIZE, fit="stretch", interpolation="bilinear")
    backbone = CARE_XS(include_top=False, input_shape=(*_SIZE, 3))
    make = {"detection": _detection, "segmentation": _segmentation}[_TASK.value]
    source, model, trained, loss, judge, targets = make(pathlib.Path(folder), backbone, record)
    x = np.stack([prepare(source[index], record) for index in range(_IMAGES)])
    epochs = _STEPS.value // 2
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, 2 * epochs, warmup_target=_RATE.value, warmup_steps=50
    )
    optimizer = keras.optimizers.AdamW(rate, weight_decay=0.01, global_clipnorm=1.0)
    trained.compile(optimizer, loss, jit_compile=keras.backend.backend() == "jax")

    class Progress(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if (epoch + 1) % 50 == 0:
                print(f"epoch {epoch + 1}/{epochs}: loss {logs['loss']:.4f}", file=sys.stderr)

    trained.fit(x, targets, batch_size=8, epochs=epochs, verbose=0, callbacks=[Progress()])
    outputs = [np.asarray(one) for one in keras.tree.flatten(model.predict(x, verbose=0))]
    figures = judge.figures(source, lambda indices: [one[list(indices)] for one in outputs])
    found = figures[judge.figure]
    print(f"{keras.backend.backend()}, {_TASK.value}: {judge.figure} {found:.3f}")
    if found < 0.9:
        raise cli.CheckError(f"{judge.figure} {found:.3f} of images learnt by heart, below 0.9")


def _detection(folder, backbone, record):
    import keras

    from care_keras.data.detection import open_detection
    from care_keras.detection.loss import DetectionLoss
    from care_keras.models import RetinaNet
    from care_keras.training.detection_task import DetectionJudge

    source = open_detection(str(folder / "bccd"), "train").take(range(_IMAGES))
    # Platelets are 8 pixels wide at this size.
    model = RetinaNet(backbone, len(source.class_names), levels=(2, 3, 4), preprocessing=record)
    targets = np.full((_IMAGES, source.object_counts.max(), 5), -1, np.float32)
    for index, row in enumerate(targets):
        objects = source.objects(index)
        row[: len(objects), :4] = objects.boxes / np.tile(source.image_size(index), 2)
        row[: len(objects), 4] = objects.labels
    trained = keras.Model(model.inputs, keras.layers.Concatenate(-1)(model.outputs))
    loss, judge = DetectionLoss(model.anchors, _SIZE), DetectionJudge(model.anchors, _SIZE)
    return source, model, trained, loss, judge, targets


def _segmentation(folder, backbone, record):
    from PIL import Image

    from care_keras.data.segmentation import open_segmentation
    from care_keras.models import SemanticFPN
    from care_keras.segmentation.loss import SegmentationLoss
    from care_keras.training.segmentation_task import SegmentationJudge

    source = open_segmentation(str(folder / "camvid"), "train").take(range(_IMAGES))
    model = SemanticFPN(backbone, len(source.class_names), preprocessing=record)
    size = _SIZE[::-1]
    targets = np.stack(
        [
            np.asarray(Image.fromarray(source.mask(index)).resize(size, Image.Resampling.NEAREST))
            for index in range(_IMAGES)
        ]
    )
    return source, model, model, SegmentationLoss(), SegmentationJudge(), targets


if __name__ == "__main__":
    cli.run(main, input_errors=(ValueError,))
