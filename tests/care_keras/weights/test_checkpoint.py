import argparse
import os
import pickle
from fractions import Fraction

import numpy as np
import pytest

from care_keras.console import optional
from care_keras.weights import load_checkpoint

ARRAYS = {
    "stem.0.weight": np.arange(12, dtype="float32").reshape(1, 3, 2, 2),
    "stem.0.bias": np.array([0.5], "float32"),
}


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch not installed")


@pytest.fixture
def saved(torch, tmp_path):
    """Saves with PyTorch, arrays as tensors, and returns the path."""

    def to_tensors(value):
        if isinstance(value, dict):
            return {key: to_tensors(item) for key, item in value.items()}
        return torch.tensor(value) if isinstance(value, np.ndarray) else value

    def save(content, name="checkpoint.pth.tar"):
        torch.save(to_tensors(content), tmp_path / name)
        return tmp_path / name

    return save


def assert_same(actual, expected=ARRAYS):
    assert set(actual) == set(expected)
    for name, array in expected.items():
        assert actual[name].dtype == np.float32
        np.testing.assert_array_equal(actual[name], array)


def zeros_like(arrays):
    return {name: np.zeros_like(array) for name, array in arrays.items()}


@pytest.mark.parametrize("name", ["a.pth", "a.pth.tar", "a.pt"])
def test_plain_state_dict(saved, name):
    assert_same(load_checkpoint(saved(ARRAYS, name)))


def test_safetensors(safetensors_file):
    assert_same(load_checkpoint(safetensors_file(ARRAYS)))


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "state_dict_ema", "model_ema"])
def test_wrapped(saved, wrapper):
    assert_same(load_checkpoint(saved({"epoch": 3, wrapper: ARRAYS, "optimizer": {"lr": 0.1}})))


@pytest.mark.parametrize(
    "content",
    [
        {"state_dict": zeros_like(ARRAYS), "state_dict_ema": ARRAYS},
        {"model": {"state_dict": zeros_like(ARRAYS), "state_dict_ema": ARRAYS}},
        {"state_dict": {"model": ARRAYS}},
        {"state_dict_ema": None, "model_ema": {}, "state_dict": ARRAYS},
    ],
    ids=["ema first", "nested ema", "nested", "empty ema"],
)
def test_which_of_several_wraps_is_taken(saved, content):
    assert_same(load_checkpoint(saved(content)))


def test_module_prefix(saved, safetensors_file):
    prefixed = {f"module.{name}": array for name, array in ARRAYS.items()}
    assert_same(load_checkpoint(saved({"state_dict": prefixed})))
    assert_same(load_checkpoint(safetensors_file(prefixed)))


def test_a_prefix_that_only_some_names_carry_is_theirs(safetensors_file):
    mixed = ARRAYS | {"module.stem.0.bias": ARRAYS["stem.0.bias"]}
    assert set(load_checkpoint(safetensors_file(mixed))) == set(mixed)


def test_step_counters_are_left_out(saved):
    counted = ARRAYS | {"stem.1.num_batches_tracked": np.array(5)}
    assert_same(load_checkpoint(saved(counted)))


def test_the_arguments_that_training_scripts_store_are_no_hindrance(saved):
    arguments = argparse.Namespace(lr=1e-3, model="care_s0")
    assert_same(load_checkpoint(saved({"state_dict": ARRAYS, "args": arguments})))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_floats_become_float32(torch, tmp_path, dtype):
    tensors = {"a": torch.tensor([1.0, -0.25, 3.0], dtype=getattr(torch, dtype))}
    expected = {"a": np.array([1.0, -0.25, 3.0])}
    torch.save(tensors, tmp_path / "a.pth")
    assert_same(load_checkpoint(tmp_path / "a.pth"), expected)
    safetensors = pytest.importorskip("safetensors.torch", reason="safetensors not installed")
    safetensors.save_file(tensors, tmp_path / "a.safetensors")
    assert_same(load_checkpoint(tmp_path / "a.safetensors"), expected)


def test_other_types_stay_as_they_are(safetensors_file):
    arrays = {"a": np.array([1, 2], "int32")}
    assert load_checkpoint(safetensors_file(arrays))["a"].dtype == np.int32


class Malicious:
    """Unpickling it runs a command, unless the reader refuses."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return os.system, (f"touch {self.file}",)


def test_nothing_in_a_checkpoint_is_executed(saved, tmp_path):
    mark = tmp_path / "executed"
    path = saved({"state_dict": ARRAYS, "extra": Malicious(mark)})
    with pytest.raises(ValueError, match=r"holds (posix|nt)\.system, which is not data") as error:
        load_checkpoint(path)
    assert not mark.exists()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("protocol", [2, 4])
def test_nothing_in_a_bare_pickle_is_executed(torch, tmp_path, protocol):
    mark = tmp_path / "executed"
    path = tmp_path / "bare.pth"
    path.write_bytes(pickle.dumps({"a": Malicious(mark)}, protocol))
    with pytest.raises(ValueError, match=r"Received: path=") as error:
        load_checkpoint(path)
    assert not mark.exists()
    assert "\n" not in str(error.value)


def test_other_classes_are_named(saved):
    with pytest.raises(
        ValueError, match=r"holds fractions.Fraction, .*: save its state dict alone"
    ):
        load_checkpoint(saved({"state_dict": ARRAYS, "metric": Fraction(1, 2)}))


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"PK\x03\x04 no archive", b"\x80\x02}"], ids=repr
)
@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_a_damaged_file(tmp_path, name, content):
    pytest.importorskip(
        "torch" if name == "a.pth" else "safetensors", reason="reader not installed"
    )
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=r"^The file is .*\. Received: path=") as error:
        load_checkpoint(tmp_path / name)
    assert "\n" not in str(error.value)


def test_a_truncated_file(saved, safetensors_file):
    for path in (saved(ARRAYS), safetensors_file(ARRAYS)):
        path.write_bytes(path.read_bytes()[:-20])
        with pytest.raises(ValueError, match=r"Received: path="):
            load_checkpoint(path)


@pytest.mark.parametrize(
    "content, message",
    [
        ({}, "holds no state dict"),
        ([1, 2], "holds no state dict"),
        (np.ones(3, "float32"), "holds no state dict"),
        ({"epoch": 3, **ARRAYS}, r"no tensors: 'epoch'"),
        ({"state_dict": {1: ARRAYS["stem.0.bias"]}}, r"no tensors: 'int'"),
    ],
)
def test_no_state_dict(saved, content, message):
    with pytest.raises(ValueError, match=message + r"\. Received: path="):
        load_checkpoint(saved(content))


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(ValueError, match=r"does not exist\. Received: path="):
        load_checkpoint(tmp_path / "none.pth")
    with pytest.raises(ValueError, match=r"is a folder\. Received: path="):
        load_checkpoint(tmp_path)


def test_a_reader_that_is_not_installed(tmp_path, monkeypatch):
    (tmp_path / "a.pth").touch()

    def missing(name):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(optional.importlib, "import_module", missing)
    with pytest.raises(optional.MissingDependencyError, match=r"install .*\[torch\]'"):
        load_checkpoint(tmp_path / "a.pth")


def test_what_a_file_says_is_quoted_in_short(tmp_path, saved, torch):
    head = b'{"a": "' + b"x" * 9000 + b'"}'
    (tmp_path / "a.safetensors").write_bytes(len(head).to_bytes(8, "little") + head)
    keys = {f"entry {'x' * 500} {number}": number for number in range(100)}
    for path in (tmp_path / "a.safetensors", saved(keys | {torch.ones(9, 9): 1})):
        with pytest.raises(ValueError, match="Received: path=") as error:
            load_checkpoint(path)
        assert "\n" not in str(error.value) and len(str(error.value)) < 900
