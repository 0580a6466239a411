"""End to end: what a .tflite file answers, as phones run it, and what Keras does."""

import dataclasses
import math
from collections.abc import Iterable, Mapping

import numpy as np

from care_keras.metrics import wilson_interval
from care_keras.models.tasks import task_of
from tflite.compare.feeds import Fed
from tflite.compare.figures import Criterion, Figures, Tally
from tflite.compare.opened import Pair
from tflite.compare.tensors import FileFailsError
from tflite.inputs.example_file import ExampleFile
from tflite.inputs.keras_runner import KerasRunner


@dataclasses.dataclass(frozen=True)
class OutputComparison:
    """One output of both side by side.

    Attributes:
        name: The file's name for it.
        images: Images, or other examples, that both were run on.
        agreement: Share of them with the same largest value, of plain integers
            the same class; `None` if there is but one value, or no largest is
            picked, as of a detector's outputs.
        agreement_interval: 95 % interval of it (Wilson's), or `None`.
        figures: The output tensor against Keras's output.
    """

    name: str
    images: int
    agreement: float | None
    agreement_interval: tuple[float, float] | None
    figures: Figures

    @property
    def rank(self) -> tuple[bool, float, float]:
        """What sorts the worst of several first: not finite, then the agreement, then the noise."""
        agreement = 1.0 if self.agreement is None else self.agreement
        return math.isfinite(self.figures.max_difference), agreement, self.figures.total_snr_db


def run_file(file: ExampleFile, examples: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The outputs, in their own types, for any number of examples.

    Raises:
        FileFailsError: If the file does not run on one.
    """
    try:
        return file.run_batches(file.batches_of(examples))
    except ValueError as error:
        raise FileFailsError(str(error)) from error


def compare_outputs(
    pair: Pair, chunks: Iterable[Fed], examples: int, criterion: Criterion
) -> list[OutputComparison]:
    """Runs both on all examples, some at a time.

    Args:
        pair: The models.
        chunks: Some examples; all chunks but the last of one size.
        examples: How many they are in all.
        criterion: When an output is wrong; only its channels' figures use it.

    Returns:
        A comparison of each output.

    Raises:
        FileFailsError: If the file does not run on one.
    """
    runner = KerasRunner(pair.keras_model, examples)
    tallies = {name: Tally(pair.litert.outputs[name]) for name in pair.outputs.values()}
    picks = (task_of(pair.keras_model) or {}).get("name") != "detection"
    agreeing: dict[str, float | None] = dict.fromkeys(tallies, 0.0 if picks else None)
    for fed in chunks:
        references = runner(fed.keras)
        outputs = run_file(pair.litert, fed.file)
        for place, name in pair.outputs.items():
            reference = references[place]
            if reference.ndim == 1:
                # A number for each example: the one channel of it.
                reference = reference[:, None]
            output = outputs[name].reshape(reference.shape)
            tallies[name].add(reference, output)
            if agreeing[name] is None:
                continue
            if pair.litert.outputs[name].is_classes:
                same = output == reference
                agreeing[name] += float(same.reshape(len(fed), -1).mean(axis=1).sum())
                continue
            if reference.shape[-1] < 2:
                agreeing[name] = None
                continue
            same = np.argmax(output, axis=-1) == np.argmax(reference, axis=-1)
            # An image of many pixels with a class each counts by its share.
            agreeing[name] += float(same.reshape(len(fed), -1).mean(axis=1).sum())
    found = []
    for name, tally in tallies.items():
        agreement = None if agreeing[name] is None else agreeing[name] / examples
        interval = None if agreement is None else wilson_interval(agreement, examples)
        figures = tally.figures(criterion)
        found.append(OutputComparison(name, examples, agreement, interval, figures))
    return found
