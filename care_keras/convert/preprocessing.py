"""How images are prepared for a model that is converted."""

import dataclasses

import keras

from care_keras.convert.image_converter import converter_record, image_converter
from care_keras.convert.inheritance import inherited_preprocessing, wants_pixels
from care_keras.data.overrides import InputOverrides
from care_keras.data.record import Preprocessing, check_channels, image_places


def model_preprocessing(
    model: keras.Model,
    overrides: InputOverrides,
    warnings: list[str],
    place: int | None = None,
) -> Preprocessing:
    """The model's own record, but for what the user says.

    A model that carries none has that of its KerasHub image converter, or of the
    CARE backbone inside it. Without such a one, or with a Rescaling of its own in
    front, it takes pixels from 0 to 255 as they are, of the whole image resized.

    Args:
        model: The model.
        overrides: What the user says.
        warnings: Lines for the user are added here.
        place: Of the input that takes images, where there are several inputs.

    Raises:
        ValueError: If the model does not take images, or not of that size.
    """
    if place is None and len(model.inputs) != 1:
        names = ", ".join(repr(tensor.name) for tensor in model.inputs)
        raise ValueError(
            f"The model must have one input, images. Received: {len(model.inputs)} inputs, {names}"
        )
    place = place or 0
    shape = model.inputs[place].shape
    if not image_places([shape]):
        raise ValueError(
            "The model must take images (batch, height, width, 3), or 1 for grey ones. "
            f"Received: an input of shape {tuple(shape)}"
        )
    channels = shape[-1]
    check_channels(channels, overrides.mean, overrides.std)
    record, converter = getattr(model, "preprocessing", None), image_converter(model)
    if record is not None:
        # It may be of a network that was written for RGB images.
        record = record if record.channels == channels else None
        converter = None
    elif converter is None:
        record = _inherited(model, place, overrides, warnings)
    told = (record and (record.height, record.width)) or (converter and converter.image_size)
    size = overrides.size or told or tuple(shape[1:3])
    if None in size:
        raise ValueError("The model takes any size: choose one with --size=HxW")
    fixed = [want for want, have in zip(size, shape[1:3], strict=True) if have not in (None, want)]
    if fixed:
        raise ValueError(
            f"The model takes images of {shape[1]}x{shape[2]} pixels only. "
            f"Received: size={size[0]}x{size[1]}"
        )
    smallest = getattr(getattr(model, "backbone", model), "min_image_size", 1)
    if min(size) < smallest:
        raise ValueError(
            f"The model takes images of at least {smallest} pixels a side. "
            f"Received: size={size[0]}x{size[1]}"
        )
    if converter is not None:
        record = converter_record(converter, size, channels, warnings)
        if not overrides.normalization():
            warnings.append(_line("the model's image converter says", record, overrides))
    elif record is None:
        record = Preprocessing.of_pixels(*size, channels)
        fed = not (overrides.normalization() or wants_pixels(model, place))
        warnings += _assumed(fed, not overrides.geometry())
    fields = {"height": size[0], "width": size[1]}
    return dataclasses.replace(
        record, **fields, **overrides.normalization(), **overrides.geometry()
    )


def says_its_preprocessing(model: keras.Model, place: int = 0) -> bool:
    """Whether the model, its image converter, the backbone in it or a layer in front says it.

    Args:
        model: The model.
        place: Of its input that takes images.
    """
    says_itself = getattr(model, "preprocessing", None) is not None or wants_pixels(model, place)
    if says_itself or image_converter(model) is not None:
        return True
    return _of_backbone(model, place) is not None


def _inherited(model, place, overrides, warnings):
    """The record of the CARE backbone in a model that prepares nothing itself, or `None`."""
    found = None if wants_pixels(model, place) else _of_backbone(model, place)
    if found is None:
        return None
    record, name = found
    if not overrides.normalization():
        warnings.append(_line(f"those of {name}, the backbone in the model", record, overrides))
    return record


def _assumed(fed, resized):
    """A line, or none, on what nothing says: what images are fed as, and how they are resized."""
    whole = "all of each is resized to the input, as Keras's own loaders do"
    if fed and resized:
        return [
            f"the model does not say how its images are prepared: {whole}, and fed as pixels from "
            "0 to 255; --mean, --std and --fit=crop say otherwise"
        ]
    if fed:
        return [
            "the model does not say how its images are prepared: they are fed as pixels from 0 to "
            "255; --mean and --std say otherwise"
        ]
    if resized:
        return [
            f"the model does not say how its images are resized: {whole}; --fit=crop says otherwise"
        ]
    return []


def _line(source, record, overrides):
    prepared = f"mean {_numbers(record.mean)}, std {_numbers(record.std)}"
    flags = "--mean and --std"
    if not overrides.geometry():
        prepared, flags = f"{prepared}, {_geometry(record)}", "--mean, --std and --fit"
    return f"the images are prepared as {source}: {prepared}; {flags} say otherwise"


def _geometry(record):
    if record.fit == "stretch":
        return "all of each resized"
    return f"their centre cut out with a ratio of {record.crop_ratio:g}"


def _of_backbone(model, place):
    """The record and the name of the CARE backbone in a model of RGB images, or `None`."""
    is_rgb = tuple(model.inputs[place].shape[-1:]) == (3,)
    return inherited_preprocessing(model) if is_rgb else None


def _numbers(values):
    return ",".join(f"{value:g}" for value in values)
