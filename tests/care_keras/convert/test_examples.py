import dataclasses
import io
import struct
import zipfile

import keras
import numpy as np
import pytest

from care_keras.convert.examples import (
    Examples,
    InputSpec,
    in_order,
    input_specs,
    noise_for,
    pair_names,
    read_arrays,
)
from care_keras.data.overrides import InputOverrides
from care_keras.data.preprocessing import normalize
from care_keras.data.record import Preprocessing

GREY = Preprocessing(8, 6, mean=(0.5,), std=(0.25,))
SPECS = [InputSpec("photo", (8, 6, 1), "float32", GREY), InputSpec("extra", (5,), "float32", None)]


def test_values_are_what_the_model_takes():
    pixels = np.arange(2 * 8 * 6, dtype=np.uint8).reshape(2, 8, 6, 1)
    extra = np.ones((2, 5), np.float32)
    examples = Examples("x", {"photo": pixels, "extra": extra}, {"photo": GREY})
    values = examples.values()
    np.testing.assert_array_equal(values["photo"], normalize(pixels, GREY))
    assert values["extra"] is extra and examples.values(raw_pixels=True)["photo"] is pixels
    assert len(examples) == 2 and len(examples.part(1, 5)) == 1 and examples.example_pixels == 48


def model_of(*shapes):
    inputs = [keras.Input(shape, name=f"in{place}") for place, shape in enumerate(shapes)]
    flat = [keras.layers.Flatten()(x) for x in inputs]
    return keras.Model(inputs, keras.layers.Concatenate()(flat) if len(flat) > 1 else flat[0])


def test_each_image_has_its_record():
    """A mean of one value is for the grey one."""
    lines = []
    model = model_of((8, 8, 3), (5,), (4, 6, 1))
    specs = input_specs(model, InputOverrides(mean=(0.5,), std=(0.25,), crop_ratio=0.9), lines)
    rgb, extra, grey = (spec.record for spec in specs)
    pixels = Preprocessing.of_pixels(8, 8)
    assert extra is None and rgb == dataclasses.replace(pixels, crop_ratio=0.9, fit="crop")
    assert grey == Preprocessing(4, 6, (0.5,), (0.25,), 0.9, interpolation="bilinear")
    assert [spec.shape for spec in specs] == [(8, 8, 3), (5,), (4, 6, 1)]
    (line,) = lines
    assert "the model does not say how its images are prepared" in line


@pytest.mark.parametrize(
    ("shapes", "mean", "message"),
    [
        ([(8, 8, 3), (None, 4)], None, "may be open. Received: an input of shape .*'in1'"),
        ([(5,)], (0.5,), "No input takes images of as many channels .* Received: 0.5"),
        ([(8, 8, 3), (4, 4, 3)], (0.5,), "RGB images: mean and std are three values each"),
    ],
)
def test_inputs_that_cannot_be(shapes, mean, message):
    inputs = [keras.Input(shape, name=f"in{place}") for place, shape in enumerate(shapes)]
    pooled = [keras.ops.mean(x, axis=tuple(range(1, len(x.shape))), keepdims=False) for x in inputs]
    model = keras.Model(inputs, pooled)
    with pytest.raises(ValueError, match=message):
        input_specs(model, InputOverrides(mean=mean), [])


@pytest.fixture
def write(tmp_path):
    def write(**arrays):
        np.savez(tmp_path / "file.npz", **arrays)
        return str(tmp_path / "file.npz")

    return write


def test_arrays_of_a_file(write):
    extra = np.random.default_rng(0).standard_normal((7, 5))
    found = read_arrays(write(extra=extra, other=np.ones(3)), SPECS)
    assert list(found) == ["extra"] and np.array_equal(found["extra"], extra)
    # A lone one, whatever its name.
    assert list(read_arrays(write(arr_0=extra), SPECS[1:])) == ["extra"]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"extras": np.ones((7, 5))},
            r"inputs are 'photo' .8, 6, 1., .* Received: extras in /",
        ),
        ({"extra": np.ones((7, 6))}, r"'extra' .5. of each example. Received: float64 .7, 6."),
        ({"extra": np.array(["a"] * 5)[None]}, "does not fit its input, 'extra'"),
        ({"extra": np.full((7, 5), np.nan)}, "not finite. Received: 'extra'"),
        ({"extra": np.ones((0, 5))}, "and some. Received: 0 of 'extra'"),
        (
            {"extra": np.ones((7, 5)), "photo": np.ones((6, 8, 6, 1))},
            "equally many examples, and some. Received: 6 of 'photo', 7 of 'extra'",
        ),
    ],
)
def test_arrays_that_do_not_fit(write, arrays, message):
    with pytest.raises(ValueError, match=message):
        read_arrays(write(**arrays), SPECS)


def packed(head=b"", method=0, flags=0):
    """An .npz file of one member with such a head of its array, and such records of its own."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("photo.npy", b"\x93NUMPY\1\0" + len(head).to_bytes(2, "little") + head)
    content = bytearray(stream.getvalue())
    place = content.index(b"PK\1\2")
    content[place + 8], content[place + 10] = flags, method
    return bytes(content)


HEAD = b"{'descr': %s, 'fortran_order': False, 'shape': %s, }\n"
DAMAGED = [
    *(b"", b"no arrays", b"PK\x03\x04 cut off", packed(method=77), packed(flags=32)),
    *(packed(flags=1), packed(method=8), packed(b"("), packed(HEAD % (b"'|O'", b"(1,)"))),
    packed(HEAD % (b"'<f4'", b"(1000000000000000,)")),
    packed(HEAD % (b"'<f4'", b"(" * 300)),
]


@pytest.mark.parametrize("content", DAMAGED)
@pytest.mark.filterwarnings("error")
def test_a_file_of_no_arrays(tmp_path, content):
    path = tmp_path / "file.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="Not an .npz file of arrays. Received: /"):
        read_arrays(str(path), SPECS)


def test_a_file_that_unpacks_to_more_than_any_memory(tmp_path):
    """What it declares is looked at before anything is unpacked."""
    path, array = tmp_path / "file.npz", bytes(1000)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("photo.npy", array)
        archive.writestr("extra.npy", array)
    sizes = struct.pack("<II", len(array), len(array))
    declared = struct.pack("<II", len(array), 3 * 2**30)
    path.write_bytes(path.read_bytes().replace(sizes, declared))
    with pytest.raises(ValueError, match="unpack to 6.0 GiB, and 4 GiB are more .* Received: /"):
        read_arrays(str(path), SPECS)


@pytest.mark.filterwarnings("error")
def test_a_file_that_python_2_wrote(tmp_path):
    path, array = tmp_path / "file.npz", io.BytesIO()
    np.save(array, np.ones((3, 5), np.float32))
    with zipfile.ZipFile(path, "w") as archive:
        content = array.getvalue().replace(b"(3, 5), }  ", b"(3L, 5L), }")
        archive.writestr("extra.npy", content)
    assert b"5L" in path.read_bytes()
    assert read_arrays(str(path), SPECS)["extra"].shape == (3, 5)


def test_a_file_of_objects_is_not_executed(write):
    path = write(extra=np.array([{}] * 3, object))
    with pytest.raises(ValueError, match="Not an .npz file of arrays. Received: /"):
        read_arrays(path, SPECS)


def test_noise_is_an_example_s_own():
    noise = noise_for(SPECS[1], 1, 6, seed=3)
    assert noise.shape == (6, 5) and noise.dtype == np.float32
    np.testing.assert_array_equal(noise_for(SPECS[1], 1, 3, seed=3), noise[:3])
    assert not np.array_equal(noise_for(SPECS[1], 2, 6, seed=3), noise)


def test_names_pair_up():
    assert pair_names(["a b.c", "d"], ["d", "a_b_c"]) == {"a b.c": "a_b_c", "d": "d"}
    assert pair_names(["images"], ["photo"]) == {"images": "photo"}
    assert in_order(["d", "a_b"], {"a b": 1, "d": 2}) == [2, 1]
    with pytest.raises(ValueError, match="do not pair up by their names. Received: a, b and a, c"):
        pair_names(["a", "b"], ["a", "c"])
