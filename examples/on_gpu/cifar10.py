"""Trains CARE-Nano on CIFAR-10 in minutes of one GPU, taught by a ResNet trained before it.

    KERAS_BACKEND=jax python -m examples.on_gpu.cifar10 --data=cifar10.npz --output=nano.keras

The teacher sees the same crops and mixtures as the network that it teaches, for
many epochs: "Knowledge distillation: A good teacher is patient and consistent",
arXiv 2106.05237. It is a ResNet-18 for small images with pre-activation.
"""

import os
import time

from absl import flags

if __name__ == "__main__":
    os.environ.setdefault("CARE_KERAS_COMMAND", "1")  # Flags first, then Keras.

from care_keras.console import cli
from care_keras.console.optional import require

_DATA = flags.DEFINE_string(
    "data",
    None,
    "The .npz file with x_train, y_train, x_test and y_test as keras.datasets.cifar10 has them.",
    required=True,
)
_OUTPUT = flags.DEFINE_string("output", None, "The .keras file to write.", required=True)
_EPOCHS = flags.DEFINE_integer("epochs", 0, "Epochs; 0: as many as fit into --seconds.")
_SECONDS = flags.DEFINE_float("seconds", 540.0, "Time for all of it.")
_TEACHER_EPOCHS = flags.DEFINE_integer("teacher_epochs", 60, "Epochs of the teacher.")
_BATCH = flags.DEFINE_integer("batch_size", 512, "Images per step.")
_RATE = flags.DEFINE_float("learning_rate", 4e-3, "Peak of the learning rate.")
_TEMPERATURE = flags.DEFINE_float("temperature", 2.0, "At which the teacher's classes are learnt.")
_SEED = flags.DEFINE_integer("seed", 0, "Of weights, order and augmentation.")

_SMOOTHING = 0.1


def main() -> None:
    """Trains the teacher, then the student, and says what both reach on the test images."""
    end = time.perf_counter() + _SECONDS.value
    require("jax", "jax")
    import jax
    import numpy as np
    from jax import numpy as jnp

    from care_keras.models import build_model
    from care_keras.models.config import CARE_NANO
    from examples.cifar10 import LABELS, read_arrays
    from examples.on_gpu.augmentation import cropped, erased, mixed
    from examples.on_gpu.loop import Recipe, Training, cross_entropy, predictions, prepare
    from examples.on_gpu.resnet import resnet

    output = prepare(_OUTPUT.value, _SEED.value)
    known = read_arrays(_DATA.value)
    data = {"images": known["x_train"], "labels": known["y_train"]}
    student = build_model(CARE_NANO, classifier_activation=None, labels=LABELS)
    record = student.preprocessing
    mean, std = (np.asarray(values, np.float32) for values in (record.mean, record.std))

    def prepared(pixels):
        return (pixels.astype(jnp.float32) / 255.0 - mean) / std

    def labelled(data, rows, key):
        targets = jax.nn.one_hot(data["labels"][rows], len(LABELS))
        targets = targets * (1 - _SMOOTHING) + _SMOOTHING / len(LABELS)
        images = cropped(data["images"][rows], jax.random.fold_in(key, 0))
        # 0 is the mean colour.
        images = erased(prepared(images), jax.random.fold_in(key, 1))
        return mixed(images, targets, jax.random.fold_in(key, 2))

    def accuracy(model):
        outputs = predictions(model, known["x_test"], prepared)
        return float((outputs.argmax(-1) == known["y_test"]).mean())

    teacher = resnet(len(LABELS))
    teacher_training = Training(
        teacher,
        Recipe(
            batch_size=500,
            learning_rate=3e-3,
            warmup_epochs=4,
            weight_decay=0.05,
            average=0.998,
            epochs=_TEACHER_EPOCHS.value,
        ),
        data,
        labelled,
        cross_entropy,
        _SEED.value,
    )

    def batch(data, rows, key):
        images, _ = labelled(data, rows, key)
        logits, _ = teacher.stateless_call(*data["teacher"], images, training=False)
        return images, jax.nn.softmax(logits / _TEMPERATURE.value)

    def loss(targets, outputs):
        # Gradients are as large as those of labels at any temperature.
        return _TEMPERATURE.value**2 * sum(
            cross_entropy(targets, logits / _TEMPERATURE.value) / len(outputs)
            for logits in outputs.values()
        )

    recipe = Recipe(
        batch_size=_BATCH.value,
        learning_rate=_RATE.value,
        warmup_epochs=5,
        weight_decay=0.05,
        average=0.9995,
        epochs=_EPOCHS.value,
        end=end,
    )
    # Compiled while the teacher learns.
    training = Training(
        student, recipe, data | {"teacher": _values(teacher)}, batch, loss, _SEED.value + 1
    )
    teacher_training.run(data)
    print(f"teacher: {accuracy(teacher):.2%} of the test images", flush=True)
    training.run(data | {"teacher": _values(teacher)})
    student.save(output)
    print(f"student: {accuracy(student):.2%} of the test images", flush=True)


def _values(model):
    variables = model.trainable_variables, model.non_trainable_variables
    return [[variable.value for variable in group] for group in variables]


if __name__ == "__main__":
    cli.run(main, input_errors=(ValueError,))
