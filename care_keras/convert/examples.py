"""Examples of what a model takes: photos, arrays of an .npz file, or noise for want of them."""

import dataclasses
import re
import zipfile
from collections.abc import Mapping, Sequence

import keras
import numpy as np

from care_keras.convert.preprocessing import model_preprocessing
from care_keras.data.noise import random_input
from care_keras.data.overrides import InputOverrides
from care_keras.data.preprocessing import normalize
from care_keras.data.record import Preprocessing, image_places
from care_keras.files import open_npz

# Of an .npz file, unpacked: 350,000 images of 32x32 in float32.
_MOST_BYTES = 4 * 2**30


@dataclasses.dataclass(frozen=True, eq=False)
class Examples:
    """Examples of all inputs of a model.

    Attributes:
        name: What they are, for people.
        arrays: For each input of the Keras model, in its order, `(examples, ...)` by the
            input's name: uint8 pixels where `records` has it, else what the input takes.
        records: How pixels become what the input takes.
        noise: Names of the inputs that random values stand for.
    """

    name: str
    arrays: dict[str, np.ndarray]
    records: dict[str, Preprocessing]
    noise: tuple[str, ...] = ()

    @classmethod
    def of_images(
        cls, pixels: np.ndarray, record: Preprocessing, name: str = "images"
    ) -> "Examples":
        """Of a model that takes one image, and nothing else."""
        return cls(name, {"images": pixels}, {"images": record})

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    @property
    def pixels(self) -> np.ndarray:
        """The first input's array: the pixels of a model of one image."""
        return next(iter(self.arrays.values()))

    @property
    def example_pixels(self) -> int:
        """Pixels of one example, at least 1: what running it costs, roughly."""
        return sum(int(np.prod(one.shape[1:3])) for one in self.arrays.values() if one.ndim == 4)

    def part(self, start: int, stop: int) -> "Examples":
        """Some of them."""
        return self.taken(slice(start, stop))

    def taken(self, places: np.ndarray | slice) -> "Examples":
        """Those at `places`."""
        parts = {name: array[places] for name, array in self.arrays.items()}
        return dataclasses.replace(self, arrays=parts)

    def prepared_by(self, record: Preprocessing | None) -> "Examples":
        """The same where the one image of a model is prepared in another way."""
        if record is None or len(self.records) != 1 or len(self.arrays) != 1:
            return self
        return dataclasses.replace(self, records=dict.fromkeys(self.records, record))

    def values(self, raw_pixels: bool = False) -> dict[str, np.ndarray]:
        """What each input takes, by its name.

        Args:
            raw_pixels: Whether images are pixels as they are.
        """
        return {
            name: normalize(array, self.records[name])
            if name in self.records and not raw_pixels
            else array
            for name, array in self.arrays.items()
        }


@dataclasses.dataclass(frozen=True)
class InputSpec:
    """What one input of a Keras model takes.

    Attributes:
        name: Of the input.
        shape: Of one example: without the batch, open sizes of images filled in.
        dtype: Its type.
        record: How images become it, or `None` if it takes none.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    record: Preprocessing | None

    def __str__(self) -> str:
        return f"{self.name!r} ({', '.join(map(str, self.shape))})"


def input_specs(
    model: keras.Model,
    overrides: InputOverrides,
    warnings: list[str],
) -> list[InputSpec]:
    """The inputs of a Keras model, in its order.

    Args:
        model: The model.
        overrides: What the user says: a size for images that leave theirs open, mean and std
            of images of as many channels as these have values.
        warnings: Lines for the user are added here, each once.

    Raises:
        ValueError: If an image is of another size, `mean` or `std` is for none of
            the images, or an input leaves more open than the size of images.
    """
    shapes = [tuple(tensor.shape) for tensor in model.inputs]
    places, lines, specs = image_places(shapes), [], []
    channels = {shapes[place][-1] for place in places}
    for place, (tensor, shape) in enumerate(zip(model.inputs, shapes, strict=True)):
        record = None
        if place in places:
            # Of images unlike in their channels, those that a mean or a std has values for; of
            # images of several sizes, those that leave theirs open.
            any_fits = len(channels) == 1
            fits = {
                name: None
                for name, values in overrides.normalization().items()
                if not any_fits and len(values) != shape[-1]
            }
            asked = overrides.size
            if len(places) > 1 and None not in shape[1:3]:
                asked = tuple(shape[1:3])
            said = dataclasses.replace(overrides, size=asked, **fits)
            record = model_preprocessing(model, said, lines, place)
            shape = (None, record.height, record.width, record.channels)
        if None in shape[1:]:
            raise ValueError(
                "Only the batch, and the height and width of images, may be open. "
                f"Received: an input of shape {shape}, {tensor.name!r}"
            )
        dtype = keras.backend.standardize_dtype(tensor.dtype)
        specs.append(InputSpec(tensor.name, tuple(shape[1:]), dtype, record))
    given = [x for x in overrides.normalization().values() if len(x) not in channels]
    if given:
        raise ValueError(
            "No input takes images of as many channels as mean and std have values. "
            f"Received: {','.join(f'{value:g}' for value in given[0])}"
        )
    warnings += dict.fromkeys(lines)
    return specs


def read_arrays(path: str, specs: Sequence[InputSpec]) -> dict[str, np.ndarray]:
    """Examples of inputs in an .npz file, as the Keras model takes them.

    Args:
        path: The file: an array `(examples, ...)` for an input, by its name. Others are
            left alone; a lone array is for a lone input, whatever its name.
        specs: The inputs.

    Returns:
        Arrays of what the file has, of equally many examples, by the inputs' names.

    Raises:
        ValueError: If it is no such file, or an array does not fit its input.
    """
    _check_unpacked(path)
    try:
        with open(path, "rb") as stream, open_npz(stream) as archive:
            names = list(archive.files)
            if len(names) == len(specs) == 1:
                found = {specs[0].name: archive[names[0]]}
            else:
                found = {spec.name: archive[spec.name] for spec in specs if spec.name in names}
            found = {name: np.asarray(array) for name, array in found.items()}
    # An .npy file is an array, which is no context; a damaged archive raises a dozen of types.
    except Exception as error:
        raise ValueError(f"Not an .npz file of arrays. Received: {path}") from error
    if not found:
        wanted = ", ".join(map(str, specs))
        raise ValueError(
            f"The file has no array for any input; the inputs are {wanted}. "
            f"Received: {', '.join(names)[:200] or 'no array'} in {path}"
        )
    for spec in specs:
        if spec.name in found:
            _check_array(path, spec, found[spec.name])
    counts = {name: len(array) for name, array in found.items()}
    if len(set(counts.values())) > 1 or 0 in counts.values():
        listed = ", ".join(f"{count} of {name!r}" for name, count in counts.items())
        raise ValueError(
            f"The arrays must have equally many examples, and some. Received: {listed} in {path}"
        )
    return found


def _check_unpacked(path):
    """A packed file of some megabytes may hold more than any memory."""
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
    # What is wrong with it NumPy finds again.
    except Exception:
        return
    if unpacked > _MOST_BYTES:
        raise ValueError(
            f"The arrays unpack to {unpacked / 2**30:.1f} GiB, and {_MOST_BYTES >> 30} GiB are "
            f"more than calibration needs: give it fewer examples. Received: {path}"
        )


def _check_array(path, spec, array):
    if array.dtype.kind not in "fiub" or array.shape[1:] != spec.shape or not array.ndim:
        raise ValueError(
            f"An array does not fit its input, {spec} of each example. Received: "
            f"{array.dtype} {array.shape} in {path}"
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"An array has values that are not finite. Received: {spec} in {path}")


def noise_for(spec: InputSpec, place: int, count: int, seed: int) -> np.ndarray:
    """Random values for an input, `(count, ...)`: always the same for an example.

    Args:
        spec: The input.
        place: Its place among the inputs.
        count: How many examples.
        seed: Seed of the values.
    """
    generators = (np.random.default_rng((seed, place, number)) for number in range(count))
    return np.stack([random_input(spec.shape, np.dtype(spec.dtype), one) for one in generators])


def pair_names(names: Sequence[str], others: Sequence[str]) -> dict[str, str]:
    """For each name of an input the one that another form of the model has for it.

    Alike but for letters that TensorFlow does not have in names; a lone one is a lone
    one's.

    Raises:
        ValueError: If they do not pair up.
    """
    if len(names) == len(others) == 1:
        return {names[0]: others[0]}
    plain = {plain_name(other): other for other in others}
    pairs = {name: plain.get(plain_name(name)) for name in names}
    if None in pairs.values() or len(set(pairs.values())) < len(others):
        raise ValueError(
            "The inputs do not pair up by their names. "
            f"Received: {', '.join(names)} and {', '.join(others)}"
        )
    return pairs


def plain_name(name: str) -> str:
    """The name with nothing but letters, digits and underscores."""
    return re.sub(r"\W", "_", name)


def in_order(names: Sequence[str], values: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Values by the inputs' names, in the order of the names of another form's inputs."""
    pairs = pair_names(names, list(values))
    return [values[pairs[name]] for name in names]
