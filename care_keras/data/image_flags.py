"""The flags that say how images are prepared, for command modules alone.

Importing it defines them: logic that other modules use must not.
"""

from absl import flags

from care_keras.console import cli
from care_keras.console.flag_values import parse_channels, parse_size
from care_keras.data.overrides import InputOverrides
from care_keras.data.record import FITS, INTERPOLATIONS

_SIZE = flags.DEFINE_string(
    "size", None, "Input size in pixels, N or HxW, of a model that takes any (default: its own)."
)
_MEAN = flags.DEFINE_list(
    "mean",
    None,
    "R,G,B mean, or one value of grey images, in units of full scale, of models that take "
    "normalized values (default: what the model, or the JSON beside it, says).",
)
_STD = flags.DEFINE_list("std", None, "R,G,B standard deviation, likewise; 1/255 may stand so.")
_INTERPOLATION = flags.DEFINE_enum(
    "interpolation",
    None,
    INTERPOLATIONS,
    "How images are resized (default: what the model or its JSON says, else bilinear).",
)
_CROP_RATIO = flags.DEFINE_float(
    "crop_ratio",
    None,
    "Share of the resized image that is cut out, with --fit=crop (default: what the model or its "
    "JSON says, else 0.875).",
)
_FIT = flags.DEFINE_enum(
    "fit",
    None,
    FITS,
    "crop: the centre of the image, its aspect ratio kept; stretch: all of it, resized to the "
    "input's size, as Keras's own loaders do (default: what the model or its JSON says, else "
    "stretch).",
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
        size=parse_size(_SIZE.value),
        mean=parse_channels("mean", _MEAN.value),
        std=parse_channels("std", _STD.value, positive=True),
        interpolation=_INTERPOLATION.value,
        crop_ratio=ratio,
        fit=_FIT.value,
    )
