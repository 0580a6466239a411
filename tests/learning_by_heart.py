"""Whether 16 real images can be learnt by heart: `python -m tests.learning_by_heart`.

The small network of a task, as `care_keras.train` makes it, under whatever backend `KERAS_BACKEND`
names: AP of BCCD's boxes, or the mean IoU of the middles of CamVid's maps, on the images that it
was trained on. Exit code 1 below 0.9. It takes minutes; the tests themselves look at a few steps.
"""

import dataclasses
import os
import pathlib
import sys

from absl import flags

os.environ.setdefault("CARE_KERAS_COMMAND", "1")  # Without Keras, as the project's commands.

from care_keras.console import cli

_TASK = flags.DEFINE_enum("task", "detection", ["detection", "segmentation"], "Which network.")
_STEPS = flags.DEFINE_integer("steps", 1200, "Steps of 8 images.", lower_bound=2)
_RATE = flags.DEFINE_float("learning_rate", 2e-3, "Peak learning rate.", lower_bound=0.0)
_DATA = flags.DEFINE_string(
    "data", None, "A folder with bccd/ and camvid/ (default: CARE_KERAS_TEST_DATA's dense/)."
)
_FOLDERS = {"detection": "bccd", "segmentation": "camvid"}
_IMAGES, _BATCH = 16, 8
# Nothing is done to the images. Platelets are 8 pixels wide at this size, so that levels begin
# at a stride of 4.
_SETTINGS = {
    "size": "128x160",
    "batch_size": _BATCH,
    "flip": False,
    "color_jitter": 0.0,
    "scale_range": (1.0, 1.0),
}
_LEVELS = (2, 3, 4)
# Of a whole street nobody can learn at this size what is a pixel wide: maps are of their middles.
_MIDDLE = slice(116, 244), slice(160, 320)


def main() -> None:
    """The command."""
    import keras

    from care_keras.training.devices.distribution import Distribution
    from care_keras.training.devices.grappler import set_up_grappler
    from care_keras.training.recipe import training_config
    from care_keras.training.task_maker import task_maker

    keras.utils.set_random_seed(0)
    set_up_grappler()
    folder = _DATA.value or os.path.join(os.environ.get("CARE_KERAS_TEST_DATA", ""), "dense")
    given = {**_SETTINGS, "data": str(pathlib.Path(folder, _FOLDERS[_TASK.value]))}
    if _TASK.value == "detection":
        given["levels"] = _LEVELS
    config = training_config(_TASK.value, given)
    maker, one_device = task_maker(config), Distribution()
    source = maker.open(config, "train").take(range(_IMAGES))
    if _TASK.value == "segmentation":
        source = _middles(source)
    task = maker.float_task(config, source, source, one_device)
    epochs = _STEPS.value // (_IMAGES // _BATCH)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, _STEPS.value, warmup_target=_RATE.value, warmup_steps=50
    )
    optimizer = keras.optimizers.AdamW(rate, weight_decay=0.01, global_clipnorm=1.0)
    jit = keras.backend.backend() == "jax"
    task.model.compile(optimizer, task.loss, jit_compile=jit)
    for epoch in range(epochs):
        loss = task.model.fit(task.training.epoch(epoch), verbose=0).history["loss"][0]
        if (epoch + 1) % 50 == 0:
            print(f"epoch {epoch + 1}/{epochs}: loss {loss:.4f}", file=sys.stderr, flush=True)
    found = task.figures(one_device)[task.figure]
    print(f"{keras.backend.backend()}, {_TASK.value}: {task.figure} {found:.3f}")
    if found < 0.9:
        raise cli.CheckError(f"{task.figure} {found:.3f} of images learnt by heart, below 0.9")


def _middles(source):
    def cut(read):
        return lambda index: read(index)[_MIDDLE]

    return dataclasses.replace(source, read=cut(source.read), read_mask=cut(source.read_mask))


if __name__ == "__main__":
    cli.run(main, input_errors=(ValueError,))
