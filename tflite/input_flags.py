"""The flags that say how images are prepared, for command modules alone.

Importing it defines them: logic that other modules use must not. A command's
`--help` lists them after `flags.adopt_module_key_flags(input_flags)`.
"""

from absl import flags

from care_keras import cli
from tflite.model_inputs import InputOverrides

_SIZE = flags.DEFINE_string(
    "size", None, "Input size in pixels, N or HxW, of a model that takes any (default: its own)."
)
_MEAN = flags.DEFINE_list(
    "mean",
    None,
    "R,G,B mean in units of full scale, of models that take normalized values (default: what the "
    "model, or the JSON beside it, says).",
)
_STD = flags.DEFINE_list("std", None, "R,G,B standard deviation, likewise; 1/255 may stand so.")
_INTERPOLATION = flags.DEFINE_enum(
    "interpolation",
    None,
    ["bicubic", "bilinear", "nearest"],
    "How images are resized (default: what the model or its JSON says, else bicubic).",
)
_CROP_RATIO = flags.DEFINE_float(
    "crop_ratio",
    None,
    "Share of the resized image that is cut out (default: what the model or its JSON says, else "
    "0.875).",
)


def input_overrides() -> InputOverrides:
    """What the flags say.

    Raises:
        cli.UserError: If one is malformed.
    """
    ratio = _CROP_RATIO.value
    if ratio is not None and not 0 < ratio <= 1:
        raise cli.UserError(f"--crop_ratio must be above 0 and at most 1, not {ratio}")
    return InputOverrides(
        size=_parse_size(_SIZE.value),
        mean=_parse_channels("mean", _MEAN.value),
        std=_parse_channels("std", _STD.value),
        interpolation=_INTERPOLATION.value,
        crop_ratio=ratio,
    )


def _parse_size(value):
    if value is None:
        return None
    parts = value.lower().split("x")
    if len(parts) not in (1, 2) or not all(part.isdigit() and int(part) for part in parts):
        raise cli.UserError(f"--size must be N or HxW, in pixels, not {value!r}")
    return int(parts[0]), int(parts[-1])


def _parse_channels(name, values):
    if values is None:
        return None
    try:
        channels = tuple(_number(value) for value in values)
    except (ValueError, ZeroDivisionError):
        channels = ()
    if len(channels) != 3 or not all(abs(value) < float("inf") for value in channels):
        raise cli.UserError(f"--{name} must be three numbers R,G,B, not {','.join(values)!r}")
    if name == "std" and min(channels) <= 0:
        raise cli.UserError(f"--std must be above 0, not {','.join(values)!r}")
    return channels


def _number(text):
    numerator, slash, denominator = text.partition("/")
    return float(numerator) / float(denominator) if slash else float(numerator)
