"""Whether a converted file is still the model: what its check means, in words."""

import dataclasses
import math

import numpy as np

from care_keras.convert.check import CheckResult
from care_keras.convert.examples import Examples

# Below these a user must hear of it: int8 of trained networks lies well above both.
LOW_AGREEMENT = 0.9
LOW_SNR_DB = 5.0
# Noise as loud as the signal: the file is not the model any more.
NO_SNR_DB = 0.0
# Mean distance from the mean image, in steps of 255: what a compressed copy of one image has.
_ALIKE = 2.0
# Where nearly all images are of one class, chance agrees as often as a good file.
_ONE_CLASS = 0.8


class FailedCheckError(ValueError):
    """A converted file does not do what its model does.

    Attributes:
        result: What was found, a `run.ConversionResult`.
    """

    def __init__(self, message: str, result):
        super().__init__(message)
        self.result = result


@dataclasses.dataclass(frozen=True)
class Judgement:
    """What is to be said of a file.

    Attributes:
        warnings: What a user should know, a line each, with what to do next.
        failures: What makes the file useless, or less than was asked for.
    """

    warnings: tuple[str, ...]
    failures: tuple[str, ...]


def judge(
    check: CheckResult,
    constant_reference: bool,
    advice: str,
    min_agreement: float = 0.0,
    alike: bool = False,
) -> Judgement:
    """Judges a file by its check.

    Args:
        check: Of the file.
        constant_reference: Whether the Keras model gives one output for all images.
        advice: What to do about a file that lost too much.
        min_agreement: Share of images that the file and the Keras model must
            pick one class for.
        alike: Whether the images of the check are all alike.
    """
    warnings, failures = [], []
    if alike:
        reason = f"the {check.images} held-out images are all alike"
        warnings.append(
            f"{reason}: the figures say little; --evaluation=DIR with images like the app's"
        )
        failures += [f"{reason}, --min_agreement asks for more"] if min_agreement else []
    elif constant_reference:
        # Equal or not, what is compared says nothing.
        reason = "the Keras model gives the same output for every image"
        advised = f"{reason}: the figures say nothing; convert a trained model"
        return Judgement((advised,), (reason,))
    elif check.constant:
        reason = f"the {check.name} file gives the same output for every image"
        return Judgement((f"{reason}: {advice}",), (reason,))
    if check.chance == 1.0 and check.images > 1:
        warnings.append(
            f"the Keras model and {check.name} give one class for all of the {check.images} "
            "images: the agreement says little; --evaluation=DIR with images like the app's, "
            "prepared as in training (--mean, --std, --fit)"
        )
    if check.agreement is not None and check.agreement < LOW_AGREEMENT:
        if check.undecided:
            advised = "its two best are mostly less than one code apart; convert a trained model"
        else:
            advised = advice
        warnings.append(
            f"{check.name} picks the Keras model's class on {check.agreement:.2%} of "
            f"{check.images} images: {advised}"
        )
        if not check.undecided and _is_chance(check):
            failures.append(
                f"the {check.name} file picks the Keras model's class on {check.agreement:.2%} of "
                "the images, no more often than by chance"
            )
    ratio = math.inf if check.snr_db is None else check.snr_db
    if ratio < LOW_SNR_DB:
        noise = "are more noise than signal" if ratio < NO_SNR_DB else "are noisy"
        warnings.append(
            f"the outputs of {check.name} {noise}, {ratio:.1f} dB against the Keras "
            f"model's: {advice}"
        )
    if ratio < NO_SNR_DB:
        failures.append(
            f"the {check.name} file's outputs are more noise than signal ({ratio:.1f} dB)"
        )
    if check.agreement is None and min_agreement:
        failures.append("--min_agreement is for classes, and no output scores them")
    elif min_agreement and check.agreement < min_agreement:
        failures.append(
            f"the {check.name} file picks the Keras model's class on {check.agreement:.2%} of the "
            f"images, --min_agreement asks for {min_agreement:.2%}"
        )
    return Judgement(tuple(warnings), tuple(failures))


def _is_chance(check):
    """Whether picks agree as often as those that have nothing to do with each other."""
    chance = check.chance
    if chance is None or chance > _ONE_CLASS:
        return False
    # Within what a draw of so many images differs by.
    return check.agreement <= chance + np.sqrt(chance * (1.0 - chance) / check.images)


def are_alike(pixels: np.ndarray) -> bool:
    """Whether several images, `(images, height, width, channels)`, are one and the same."""
    images = pixels.astype(np.float32)
    away = np.abs(images - images.mean(axis=0)).mean(axis=(1, 2, 3))
    return len(images) > 1 and bool(away.max() < _ALIKE)


def alike_arrays(examples: Examples) -> list[str]:
    """What is wrong with examples that are to set ranges, a line for each input."""
    if len(examples) < 2:
        return []
    return [
        f"the {len(examples)} calibration examples of {name!r} are all the same: ranges of the "
        "app's own values need examples like them"
        for name, array in examples.arrays.items()
        if (array == array[:1]).all()
    ]


def no_knowledge(top1: float | None, labels: np.ndarray) -> str | None:
    """A line about a Keras model that is right no more often than by chance, or `None`.

    Args:
        top1: Share of images whose label it gives.
        labels: Class indices of all.
    """
    if top1 is None:
        return None
    # As who always says the most frequent class, within what a draw of so many differs by.
    chance = np.bincount(labels).max() / len(labels)
    limit = chance + np.sqrt(chance * (1.0 - chance) / len(labels))
    if chance == 1.0 or top1 > limit:
        return None
    return (
        f"the Keras model gives the right class for {top1:.2%} of {len(labels)} images, no more "
        "than chance does: were images prepared so in training? --mean, --std and --fit say how"
    )


def calibration_warning(name: str, pixels: np.ndarray) -> str | None:
    """What is wrong with images that are to set ranges, or `None`.

    Args:
        name: What the images are.
        pixels: uint8 `(images, height, width, channels)`.
    """
    images = pixels.astype(np.float32)
    advice = "--calibration=DIR with images like the app's sets ranges that fit them"
    if len(images) == 1:
        return f"{name} has one calibration image: {advice}"
    if are_alike(pixels):
        return f"the {len(images)} calibration images of {name} are all alike: {advice}"
    if np.max(images.std(axis=(1, 2))) < _ALIKE:
        return f"the calibration images of {name} are each of one colour: {advice}"
    return None
