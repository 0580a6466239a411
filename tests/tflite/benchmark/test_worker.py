import pathlib

import ml_dtypes
import numpy as np
import pytest

from tests.tflite.tiny_models import tiny_model
from tflite.benchmark.worker import input_shape, measure, random_input

SHORT = {"warmup_runs": 2, "warmup_seconds": 0, "runs": 3, "seconds": 0}


@pytest.fixture
def file(tmp_path):
    def write(kind):
        path = tmp_path / f"{kind}.tflite"
        path.write_bytes(tiny_model(kind))
        return str(path)

    return write


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [
        (np.float16, -6, 6),
        (np.float32, -6, 6),
        (np.float64, -6, 6),
        (ml_dtypes.bfloat16, -6, 6),
        (np.int8, -128, 127),
        (np.uint8, 0, 255),
        (np.int16, -32768, 32767),
        (np.int32, 0, 1),
        (np.int64, 0, 1),
        (np.uint32, 0, 1),
        (np.bool_, 0, 1),
    ],
)
def test_random_inputs_of_any_type(dtype, low, high):
    values = random_input((5, 400), dtype, np.random.default_rng(3))
    assert values.shape == (5, 400) and values.dtype == dtype
    assert np.array_equal(values, random_input((5, 400), dtype, np.random.default_rng(3)))
    numbers = values.astype(np.float64)
    assert low <= numbers.min() < numbers.max() <= high
    # Spread over all of it.
    assert numbers.max() - numbers.min() > 0.5 * (high - low)


def test_random_inputs_that_are_no_numbers():
    generator = np.random.default_rng(0)
    assert random_input((2, 3), np.complex64, generator).dtype == np.complex64
    words = random_input((4,), np.bytes_, generator)
    assert words.shape == (4,) and all(isinstance(word, bytes) for word in words)
    with pytest.raises(ValueError, match="no random input of this type. Received: dtype=datetime"):
        random_input((1,), np.dtype("datetime64[s]"), generator)


def test_measures_a_model(file):
    answer = measure({"model": file("conv"), **SHORT, "runs": 40})
    assert answer["inputs"] == [{"name": "images", "shape": [1, 16, 16, 3], "dtype": "float32"}]
    assert len(answer["samples_ms"]) == 40 and min(answer["samples_ms"]) > 0
    assert answer["load_ms"] > 0 and answer["first_inference_ms"] > 0


def test_a_round_lasts_as_long_as_asked(file):
    path = file("conv")
    counts = [
        len(measure({"model": path, **SHORT, "runs": 1, "seconds": seconds})["samples_ms"])
        for seconds in (0, 0.05)
    ]
    assert counts[0] == 1 < counts[1]


def test_what_xnnpack_runs(file):
    def counts(kind, xnnpack=True):
        answer = measure({"model": file(kind), "xnnpack": xnnpack, **SHORT})
        return answer["ops"], answer["delegated_ops"], answer["partitions"]

    assert counts("conv") == (2, 2, 1)
    assert counts("conv", xnnpack=False) == (2, 0, 0)
    assert counts("mixed") == (3, 2, 2)


def test_several_inputs_and_their_types(file):
    answer = measure({"model": file("two"), **SHORT})
    assert {tensor["name"]: tensor["dtype"] for tensor in answer["inputs"]} == {
        "indices": "int32",
        "table": "float32",
    }


def test_open_shapes(file):
    assert measure({"model": file("batch"), **SHORT})["inputs"][0]["shape"] == [1, 16, 16, 3]
    path = file("open")
    with pytest.raises(ValueError, match="leaves sizes open: .*--input_shape.*input.*x3"):
        measure({"model": path, **SHORT})
    for shapes in ({"": [2, 8, 9, 3]}, {"images": [2, 8, 9, 3]}):
        answer = measure({"model": path, "shapes": shapes, **SHORT})
        assert answer["inputs"][0]["shape"] == [2, 8, 9, 3]


@pytest.mark.parametrize(
    ("kind", "shapes", "message"),
    [
        ("two", {"": [4]}, "2 inputs: say which .* inputs table, indices"),
        ("two", {"labels": [4]}, "no such input; it has table, indices. Received: .*labels"),
        ("conv", {"": [1, 3]}, "4 dimensions .*Received: --input_shape=1x3"),
        ("conv", {"": [1, 8, 8, 5]}, "LiteRT cannot open the model"),
    ],
)
def test_shapes_that_do_not_fit(file, kind, shapes, message):
    with pytest.raises(ValueError, match=message):
        measure({"model": file(kind), "shapes": shapes, **SHORT})


def test_shape_of_a_scalar():
    assert input_shape("step", (), (), None) == ()


def test_files_that_are_no_models(tmp_path):
    whole = tiny_model("conv")
    noise = np.random.default_rng(0).bytes(2000)
    contents = {
        "truncated": whole[: len(whole) // 2],
        "empty": b"",
        "noise": noise,
        "noise with the identifier": whole[:8] + noise,
        "custom": tiny_model("custom"),
    }
    for name, content in contents.items():
        path = tmp_path / f"{name}.tflite"
        path.write_bytes(content)
        with pytest.raises(ValueError, match="LiteRT cannot open the model. Received: ") as caught:
            measure({"model": str(path), **SHORT})
        assert name in str(caught.value)
    assert "MatrixInverse" in str(caught.value)


def test_the_worker_needs_nothing_of_the_project():
    """It must not load what would count as the model's memory."""
    text = pathlib.Path(measure.__code__.co_filename).read_text()
    assert "import tflite" not in text and "from tflite" not in text
    assert "care_keras" not in text and "tensorflow" not in text
