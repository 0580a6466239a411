import numpy as np
import pytest

from care_keras.data.noise import random_input
from tests.tflite.several_ends import EXTRA_WEIGHTS, several_ends
from tests.tflite.tiny_models import tiny_model
from tflite.benchmark import worker
from tflite.benchmark.worker import input_shape, measure
from tflite.child.worker import ask

SHORT = {"warmup_runs": 2, "warmup_seconds": 0, "runs": 3, "seconds": 0}


@pytest.fixture
def file(tmp_path):
    def write(kind):
        path = tmp_path / f"{kind}.tflite"
        path.write_bytes(tiny_model(kind))
        return str(path)

    return write


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


def test_several_outputs(tmp_path):
    path = tmp_path / "both.tflite"
    path.write_bytes(several_ends("both"))
    answer = measure({"model": str(path), "outputs": str(tmp_path / "outputs.npz"), **SHORT})
    assert [(x["name"], x["shape"]) for x in answer["inputs"]] == [
        ("extra", [1, 5]),
        ("images", [1, 8, 8, 3]),
    ]
    assert [(x["name"], x["shape"]) for x in answer["outputs"]] == [
        ("scores", [1, 6]),
        ("box", [1, 2]),
    ]
    with np.load(tmp_path / "outputs.npz") as archive:
        scores, box = archive["arr_0"], archive["arr_1"]
    generator = np.random.default_rng(0)
    extra, _ = (random_input(x["shape"], x["dtype"], generator) for x in answer["inputs"])
    of_images = scores - extra @ EXTRA_WEIGHTS
    np.testing.assert_allclose(box, 2 * of_images[:, :2], atol=1e-5)


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
        ("open", {"image": [1, 8, 8, 3]}, "no such input; it has images. Received: .* for image"),
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


def test_the_worker_holds_next_to_nothing_of_the_project(file, tmp_path):
    """It must not load what would count as the model's memory."""
    script = tmp_path / "worker.py"
    script.write_text(
        "import runpy, sys\n\ndef work(request):\n"
        f"    runpy.run_path({worker.__file__!r})['work'](request)\n"
        "    return {'modules': sorted(sys.modules)}\n"
    )
    modules = set(ask("LiteRT", script, {"model": file("conv"), **SHORT}, 60)["modules"])
    assert not modules & {"keras", "tensorflow", "lazy_loader", "care_keras.console"}
    assert {name for name in modules if name.partition(".")[0] in ("care_keras", "tflite")} == {
        *("care_keras", "care_keras.litert", "care_keras.litert.file", "care_keras.litert.tensor"),
        *("care_keras.data", "care_keras.data.noise", "care_keras.memory", "care_keras.shapes"),
    }
