"""Settings of a command declared once: a field of a record that is a flag too."""

import dataclasses
import pathlib
import typing
from collections.abc import Callable, Sequence

from absl import flags

# Flags belong to the module that has them defined, not to this one.
flags.disclaim_key_flags()


def option(
    text: str,
    default=dataclasses.MISSING,
    low: float | None = None,
    high: float | None = None,
    choices: Sequence[str] | None = None,
    flag: str | None = None,
    parse: Callable | None = None,
) -> dataclasses.Field:
    """A field of a dataclass whose value a flag of its name gives.

    The annotation says what the flag takes: text, a number, yes or no, a path,
    several texts (`tuple[str, ...]`) or comma-separated values (any other tuple).

    Args:
        text: What `--help` says.
        default: Value without the flag; none if it must be given.
        low: Smallest number.
        high: Largest number.
        choices: The texts that it can be.
        flag: Name of the flag, where Python keeps the name to itself.
        parse: Makes the value from `(flag, value)`, where the value alone is not it.
    """
    return dataclasses.field(
        default=default,
        metadata={
            "text": text,
            "low": low,
            "high": high,
            "choices": choices,
            "flag": flag,
            "parse": parse,
        },
    )


def options(record: type) -> dict[str, dataclasses.Field]:
    """The fields of a record that are flags, by the flag's name."""
    return {
        field.metadata["flag"] or field.name: field
        for field in dataclasses.fields(record)
        if "text" in field.metadata
    }


def define_flags(record: type) -> None:
    """Defines a flag for each option of a record; not given, its value is `None`."""
    for name, field in options(record).items():
        about, text = field.metadata, field.metadata["text"]
        bounds = {"lower_bound": about["low"], "upper_bound": about["high"]}
        if about["choices"]:
            flags.DEFINE_enum(name, None, about["choices"], text)
        elif field.type is bool:
            flags.DEFINE_bool(name, None, text)
        elif field.type is int:
            flags.DEFINE_integer(name, None, text, **bounds)
        elif field.type is float:
            flags.DEFINE_float(name, None, text, **bounds)
        elif typing.get_origin(field.type) is not tuple:
            flags.DEFINE_string(name, None, text)
        elif str in typing.get_args(field.type):
            flags.DEFINE_multi_string(name, None, text)
        else:
            flags.DEFINE_list(name, None, text)


def given(record: type) -> dict:
    """The fields of a record whose flags were given, with their values.

    Raises:
        UserError: If a value is malformed.
    """
    found = {}
    for name, field in options(record).items():
        value = flags.FLAGS[name].value
        if value is None:
            continue
        if field.metadata["parse"]:
            value = field.metadata["parse"](name, value)
        elif field.type is pathlib.Path:
            value = pathlib.Path(value)
        elif typing.get_origin(field.type) is tuple:
            value = tuple(value)
        found[field.name] = value
    return found


def to_flags(settings) -> dict:
    """The flags of a record by name, with their values as JSON has them."""
    return {
        name: _plain(getattr(settings, field.name)) for name, field in options(settings).items()
    }


def _plain(value):
    if isinstance(value, pathlib.Path):
        return str(value)
    if not isinstance(value, tuple):
        return value
    # Numbers are one flag, names are one flag each.
    numbers = value and all(isinstance(item, int | float) for item in value)
    return ",".join(map(repr, value)) if numbers else list(value)
