"""What an app does with a file's tensors, in words."""

from care_keras.litert.tensor import TensorInfo


def input_in_words(info: TensorInfo, input_kind: str, is_image: bool) -> str:
    """What is written into an input.

    Args:
        info: The input.
        input_kind: `"float"` or `"rgb_uint8"`.
        is_image: Whether it takes images.
    """
    what = "the prepared values" if is_image else "values"
    if input_kind == "rgb_uint8":
        return "the bytes of the pixels, 0 to 255, as they are"
    if info.scale:
        return f"{what} as {info.dtype} codes: round(value / scale) + zero_point"
    return f"{what} as {info.dtype}"


def output_in_words(
    info: TensorInfo, activation: str | None, is_scores: bool, of_task: str | None = None
) -> str:
    """What is read from an output.

    Args:
        info: The output.
        activation: Name of its activation, or `None` if unknown.
        is_scores: Whether it is a score for each class.
        of_task: What it is in the model's task, where the model says one.
    """
    value = f"{info.dtype} values"
    if info.scale:
        value = f"{info.dtype} codes: value = scale * (code - zero_point)"
    if of_task:
        return f"{value}. {of_task}"
    return f"{value}. {scores_in_words(activation)}" if is_scores else value


def scores_in_words(activation: str | None) -> str:
    """What the scores of a classifier are.

    Args:
        activation: Name of its activation, or `None` if unknown.
    """
    largest = "the largest is the class"
    if activation == "linear":
        return f"Logits, one for each class: {largest}; their softmax is probabilities."
    if activation == "softmax":
        return f"Probabilities, one for each class: {largest}."
    if activation == "sigmoid":
        return "Probabilities, one for each class, each on its own."
    return f"Scores, one for each class: {largest}."
