"""The stages of `examples.on_cpu.cifar10`, from a teacher that is tuned to a student."""

import dataclasses
import pathlib
import time

import keras
import numpy as np
import torch
from torch.nn import functional

from care_keras.console.cli import UserError
from care_keras.console.outputs import output_file
from care_keras.console.progress import say
from care_keras.data.sources import open_source
from care_keras.files import atomic_path, first_line
from care_keras.loading import load_any
from care_keras.models import build_model
from care_keras.models.config import CARE_NANO
from examples.cifar10 import LABELS, read_arrays
from examples.on_cpu.augmentation import coloured, cropped, erased, mixed, pasted, some, zoomed
from examples.on_cpu.care import CAREClassifier
from examples.on_cpu.efficientnet_lite0 import EfficientNetLite0
from examples.on_cpu.loop import Order, Recipe, mean_of, train, with_own_statistics
from examples.on_cpu.pieces import cut

CLASSES = len(LABELS)
_SIZES = (64, 96)
_SMOOTHING = 0.1
_TEACHER_BATCH, _BATCH = 128, 256
_PIECES_PER_PHOTO = 8
# The last of the training, by which averages are made, is in float32.
_HALF_PRECISION = 0.97


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is done, and of what.

    Attributes:
        data: The .npz file of the images.
        run_dir: Folder of all that is kept.
        output: The .keras file to write.
        teacher_weights: EfficientNet-Lite0's weights of ImageNet; `None` where it is tuned.
        known: Networks to begin with, by file or bundled name.
        photos: A folder of photos, pieces of which are learnt too, or `None`.
        teacher_epochs: Of each size.
        target_epochs: Times that each image is augmented and kept.
        epochs: Of the student, each of as many kept images as there are images.
        learning_rate: Of the student, at its peak.
        temperature: At which the answers are learnt.
        seed: Of order and augmentation.
    """

    data: str
    run_dir: str
    output: str
    teacher_weights: str | None
    known: tuple[str, ...]
    photos: str | None
    teacher_epochs: int
    target_epochs: int
    epochs: int
    learning_rate: float
    temperature: float
    seed: int


def distil(plan: Plan) -> None:
    """Goes through the stages, and prints what both networks reach on the test images.

    Raises:
        UserError: If what is read is not what it should be.
        ValueError: If a photo cannot be read, or is too small.
    """
    output = output_file("output", plan.output, [".keras"])
    models = [_read(name) for name in plan.known]
    model = models[0] if models else _random(plan.seed)
    arrays = read_arrays(plan.data)
    folder = pathlib.Path(plan.run_dir)
    folder.mkdir(parents=True, exist_ok=True)
    teacher = _tuned_teacher(plan, folder, arrays)
    prepared = _preparation(model)
    known = [_in_torch(one, plan) for one in models]

    def answers(pixels):
        found = teacher(pixels, _SIZES[-1]).float().log_softmax(-1)
        if not known:
            return found
        # All that are known count as much as the teacher.
        x = prepared(pixels)
        return (found + sum(one(x).log_softmax(-1) for one in known) / len(known)) / 2.0

    if known:
        right = _accuracy(answers, arrays)
        print(f"teacher and --from together: {right:.2%} of the test images", flush=True)
    pixels = arrays["x_train"]
    if plan.photos is not None:
        pieces = cut(open_source(plan.photos), pixels.shape[1], _PIECES_PER_PHOTO, plan.seed)
        pixels = np.concatenate([pixels, pieces])
    images, logits = _targets(plan, folder, answers, pixels)
    student = mean_of(known) if known else _in_torch(model, plan)
    student = _taught_student(plan, folder, student, prepared, images, logits)
    _assign(model, student)
    with atomic_path(output) as part:
        model.save(part)
    right = _accuracy(lambda pixels: student(prepared(pixels)), arrays)
    print(f"student: {right:.2%} of the test images")


def _random(seed):
    keras.utils.set_random_seed(seed)
    return build_model(CARE_NANO, classifier_activation=None, labels=LABELS)


def _read(name):
    try:
        return load_any(name)
    except ValueError as error:
        raise UserError(f"--from={name}: {error}") from error


def _tuned_teacher(plan, folder, arrays) -> torch.nn.Module:
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
        if plan.teacher_weights is None:
            raise UserError(f"there is no {path}: --teacher_weights must be given")
        teacher.load_pretrained(plan.teacher_weights)
        teacher = _tune(plan, teacher, arrays, folder / "teacher_state.pt")
        with atomic_path(path) as part:
            torch.save(teacher.state_dict(), part)
    teacher = teacher.to(memory_format=torch.channels_last).eval()
    right = _accuracy(lambda pixels: teacher(pixels, _SIZES[-1]), arrays)
    print(f"teacher: {right:.2%} of the test images", flush=True)
    return teacher


def _tune(plan, teacher, arrays, checkpoint):
    images, labels = _channels_first(arrays["x_train"]), torch.from_numpy(arrays["y_train"]).long()
    order = Order(len(images), _TEACHER_BATCH, plan.seed)
    sizes = np.repeat(_SIZES, plan.teacher_epochs)

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
        seed=plan.seed,
    )
    return train(teacher, batch, loss, recipe, checkpoint, "teacher")


def _targets(plan, folder, answers, pixels) -> tuple[np.ndarray, np.ndarray]:
    """Stage 2: augmented images, uint8 `(n, 32, 32, 3)`, and the answers to them."""
    paths = folder / "images.npy", folder / "logits.npy"
    count = len(pixels) * plan.target_epochs
    if not all(path.exists() for path in paths):
        _write_targets(plan, paths, answers, pixels, count)
    images, logits = (np.load(path, mmap_mode="r", allow_pickle=False) for path in paths)
    if len(images) != count:
        raise UserError(
            f"{paths[0]} has {len(images):,} images, of another --target_epochs or --photos: give "
            "those, or remove it"
        )
    return images, logits


def _write_targets(plan, paths, answers, pixels, count):
    pixels = _channels_first(pixels)
    colour = torch.tensor(CARE_NANO.preprocessing.mean) * 255.0
    order = Order(len(pixels), _BATCH, plan.seed + 1)
    generator = torch.Generator().manual_seed(plan.seed)
    began = time.perf_counter()
    with atomic_path(paths[0]) as images_path, atomic_path(paths[1]) as logits_path:
        images = np.lib.format.open_memmap(images_path, "w+", np.uint8, (count, 32, 32, 3))
        logits = np.lib.format.open_memmap(logits_path, "w+", np.float16, (count, CLASSES))
        for step, start in enumerate(range(0, count, _BATCH)):
            rows = order.rows(step)[: count - start]
            x = _augmented(pixels[rows], colour, generator)
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
                found = answers(x)
            images[start : start + len(rows)] = x.permute(0, 2, 3, 1).to(torch.uint8).numpy()
            logits[start : start + len(rows)] = found.numpy()
            if step % 200 == 199:
                rate = (start + _BATCH) / (time.perf_counter() - began)
                say(f"targets: {start + _BATCH:,} of {count:,} images, {rate:.0f} images/s")
        images.flush()
        logits.flush()


def _augmented(pixels, colour, generator):
    """No two of the kept images are alike, and few are as the training images are."""
    x = some(0.7, zoomed(pixels, generator), cropped(pixels, generator), generator)
    x = some(0.6, coloured(x, generator), x, generator)
    x = some(0.5, erased(x, colour, generator), x, generator)
    x = some(0.25, pasted(x, generator), mixed(x, generator), generator)
    return x.round().clamp(0, 255)


def _in_torch(model, plan) -> CAREClassifier:
    """The Keras model in PyTorch, for inference."""
    student = CAREClassifier(CARE_NANO, CLASSES)
    try:
        student.read_keras(_weights(model))
    except (KeyError, ValueError, RuntimeError) as error:
        names = ", ".join(plan.known)
        raise UserError(f"--from={names}: not CARE-Nano of {CLASSES} classes") from error
    return student.to(memory_format=torch.channels_last).eval()


def _taught_student(plan, folder, student, prepared, images, logits) -> CAREClassifier:
    """Stage 3."""
    order = Order(len(images), _BATCH, plan.seed + 2)

    def inputs(rows):
        # In the order of the file.
        rows = rows.sort().values.numpy()
        return prepared(_channels_first(images[rows])), rows

    def batch(step, generator):
        x, rows = inputs(order.rows(step))
        # The kept images are few: half of them are mirrored once more.
        x = some(0.5, x.flip(3), x, generator)
        return x, torch.from_numpy(logits[rows].astype(np.float32))

    def loss(network, inputs, targets):
        temperature = plan.temperature
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

    steps = plan.epochs * len(images) // plan.target_epochs // _BATCH
    recipe = Recipe(
        steps=steps,
        learning_rate=plan.learning_rate,
        warmup_steps=min(200, steps // 10),
        weight_decay=0.05,
        average=0.999,
        half_precision_steps=int(_HALF_PRECISION * steps),
        seed=plan.seed + 2,
        loss=f"temperature {plan.temperature}",
    )
    student = train(student, batch, loss, recipe, folder / "student_state.pt", "student")
    return with_own_statistics(student, lambda step: inputs(order.rows(step))[0])


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
