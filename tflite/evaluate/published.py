"""Whether published weights are as right as their authors say."""

from tflite.evaluate.accuracy import Share
from tflite.evaluate.evaluation import Evaluation

# Published figures are rounded to a tenth of a point.
_ROUNDING = 0.0005


def lies_within(published: float, top1: Share) -> bool:
    """Whether a published top-1 can be the one whose 95 % interval was measured."""
    low, high = top1.interval
    return low - _ROUNDING <= published <= high + _ROUNDING


def published_figures(evaluation: Evaluation) -> tuple[list[str], list[str]]:
    """The figures beside those that were published, in words.

    Args:
        evaluation: What came of it.

    Returns:
        A line for each model of published weights, and one for each whose
        figure does not hold.
    """
    lines, wrong = [], []
    for model, accuracy in zip(evaluation.models, evaluation.accuracies, strict=True):
        if model.published_top1 is None:
            continue
        published = f"published top-1 of {model.name}: {model.published_top1:.1%}"
        if len(evaluation.class_names) != model.outputs:
            lines.append(
                f"{published} of {model.outputs:,} classes, which says nothing of "
                f"{len(evaluation.class_names):,}"
            )
            continue
        low, high = accuracy.top1.interval
        measured = f"the 95 % interval of what was measured, {low:.2%} to {high:.2%}"
        if lies_within(model.published_top1, accuracy.top1):
            lines.append(f"{published}, within {measured}")
        else:
            lines.append(f"{published}, NOT within {measured}")
            wrong.append(
                f"{model.name} has a top-1 of {accuracy.top1.value:.2%} where "
                f"{model.published_top1:.1%} is published: these are not the authors' weights, or "
                "the images not like ImageNet's validation set (--nopublished takes others)"
            )
    return lines, wrong
