"""What flags of several commands mean: sizes, values of a channel, counts.

Nothing here defines a flag, so that any module may import it.
"""

from collections.abc import Sequence

from care_keras.console.cli import UserError


def parse_size(value: str | None, flag: str = "size") -> tuple[int, int] | None:
    """`"224"` or `"192x256"` as `(height, width)` in pixels.

    Raises:
        UserError: If it is neither.
    """
    if value is None:
        return None
    parts = value.lower().split("x")
    if len(parts) not in (1, 2) or not all(part.isdecimal() and int(part) for part in parts):
        raise UserError(f"--{flag} must be N or HxW, in pixels, not {value!r}")
    return int(parts[0]), int(parts[-1])


def parse_shapes(values: Sequence[str], flag: str = "input_shape") -> dict[str, list[int]]:
    """`["1x224x224x3"]` as `{"": [1, 224, 224, 3]}`, `["NAME=1x8"]` as `{"NAME": [1, 8]}`.

    Raises:
        UserError: If one is neither.
    """
    shapes = {}
    for value in values:
        name, _, sizes = value.rpartition("=")
        parts = sizes.lower().split("x")
        if not all(part.isdecimal() and int(part) for part in parts):
            raise UserError(f"--{flag} must be 1x224x224x3 or NAME=SHAPE, not {value!r}")
        shapes[name] = [int(part) for part in parts]
    return shapes


def parse_channels(
    flag: str, values: Sequence[str] | None, positive: bool = False
) -> tuple[float, ...] | None:
    """Three numbers, one for each RGB channel, or one of grey images; `"1/255"` is one too.

    Raises:
        UserError: If they are not three finite numbers or one, beyond 1, or not
            all above 0 where they must be.
    """
    if values is None:
        return None
    given = ",".join(values)
    try:
        channels = tuple(_number(value) for value in values)
    except (ValueError, ZeroDivisionError):
        channels = ()
    if len(channels) not in (1, 3) or not all(abs(value) < float("inf") for value in channels):
        raise UserError(
            f"--{flag} must be three numbers R,G,B, or one of grey images, not {given!r}"
        )
    if positive and min(channels) <= 0:
        raise UserError(f"--{flag} must be above 0, not {given!r}")
    if max(map(abs, channels)) > 1:
        of_scale = ",".join(f"{value / 255:.3g}" for value in channels)
        raise UserError(
            f"--{flag} is in units of full scale, where white is 1: divide values for pixels from "
            f"0 to 255 by 255 ({of_scale}), not {given!r}"
        )
    return channels


def parse_range(flag: str, values: Sequence[str]) -> tuple[float, float]:
    """Two numbers.

    Raises:
        UserError: If they are not.
    """
    try:
        low, high = map(float, values)
    except ValueError as error:
        raise UserError(
            f"--{flag} must be two numbers LOW,HIGH, not {','.join(values)!r}"
        ) from error
    return low, high


def parse_counts(flag: str, values: Sequence[str]) -> list[int]:
    """`["1", "2", "4"]` as numbers above 0, each once.

    Raises:
        UserError: If one is none, or there are none at all.
    """
    if not values or not all(value.isdecimal() and int(value) for value in values):
        raise UserError(f"--{flag} must be numbers above 0, as 1,2,4, not {','.join(values)!r}")
    return list(dict.fromkeys(map(int, values)))


def _number(text):
    numerator, slash, denominator = text.partition("/")
    return float(numerator) / float(denominator) if slash else float(numerator)
