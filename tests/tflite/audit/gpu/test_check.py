import dataclasses
import functools
import json
import os
import pathlib
import tempfile

import numpy as np
import pytest
from PIL import Image

from care_keras.data.overrides import InputOverrides
from care_keras.data.preprocessing import normalize
from care_keras.tflite_file import read_graph
from tests.care_keras.deploy.test_lift import transposed_convolution
from tests.needed import give_up
from tests.tflite.commands import run_command
from tests.tflite.foreign_models import PREPROCESSING, foreign_tflite, images
from tests.tflite.tiny_models import tiny_model
from tflite.audit.gpu import drivers
from tflite.audit.gpu.check import NoAcceleratorError, audit_gpu
from tflite.audit.gpu.drivers import find_swiftshader, vulkan_devices
from tflite.audit.gpu.text import format_gpu, gpu_cell, gpu_failure
from tflite.audit.inputs import choose_inputs

FOREIGN = InputOverrides(mean=PREPROCESSING.mean, std=PREPROCESSING.std)


def audit(content, overrides=FOREIGN, **arguments):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "model.tflite")
        path.write_bytes(content)
        graph = read_graph(path)
        inputs = choose_inputs(path, graph, "bundled", 4, overrides)
        return audit_gpu(path, graph, inputs, **arguments)


@pytest.fixture(scope="module")
def mixed():
    """The audit of a file; without a device for the accelerator it skips or fails."""
    try:
        return audit(tiny_model("mixed"), InputOverrides())
    except NoAcceleratorError as error:
        give_up(str(error))


@pytest.fixture
def gpu(mixed):
    """Audits a file's content, where that can be done."""
    return audit


@functools.cache
def file_of(kind):
    """Files that a GPU takes in part, not at all, or wrongly."""
    import tensorflow as tf

    everywhere = np.stack(np.meshgrid([0], range(16), range(16), indexing="ij"), -1)[None]

    def convolve(x):
        return tf.nn.relu(tf.nn.conv2d(x, tf.ones((3, 3, 3, 3)), 1, "SAME"))

    def of_rank_6(x):
        tiles = tf.transpose(tf.reshape(convolve(x), [1, 4, 4, 4, 4, 3]), [0, 2, 1, 4, 3, 5])
        return convolve(tf.reshape(tiles, [1, 16, 16, 3]))

    functions = {
        "rank_6": of_rank_6,
        "gather": lambda x: tf.gather_nd(x, everywhere[0].astype(np.int32)),
        "square": lambda x: tf.matmul(x * 2.0, x * 2.0, transpose_b=True),
        "sine": lambda x: tf.sin(x * 1e6),
        "int64": lambda x: (tf.cast(convolve(x), tf.int64), convolve(x)),
        "open": lambda x: tf.boolean_mask(x, x > 0.0),
    }
    signature = [tf.TensorSpec((1, 16, 16, 3), name="images")]
    concrete = tf.function(functions[kind], input_signature=signature).get_concrete_function()
    return tf.lite.TFLiteConverter.from_concrete_functions([concrete], tf.Module()).convert()


def test_a_foreign_network_on_real_images(gpu):
    result = gpu(foreign_tflite("float32"))
    assert result.acceleration == "full" and result.on_gpu == result.operators == 65
    assert result.passed(allow_partial=False) and result.inputs == "4 images of bundled:test"
    (output,) = result.outputs
    # Other kernels add in another order: not equal, but nearly.
    assert 60 < output.snr_db < 150 and 0 < output.max_abs_difference < 1e-3
    assert output.top1_agreement == 1.0 and output.max_abs <= 1.0
    assert not result.quantized and not result.beyond_float16
    device = result.device
    assert device.backend == "Vulkan" and device.driver and device.half_precision is not None
    text = format_gpu(result)
    assert "fully accelerated, 65 of 65 operators" in text and device.name in text
    assert json.loads(json.dumps(result.to_dict()))["device"]["name"] == device.name


def test_what_xnnpack_lacks_the_gpu_may_have(mixed):
    assert mixed.passed(allow_partial=False) and mixed.on_gpu == mixed.operators == 3


def test_a_partly_accelerated_file_is_not_called_full(gpu):
    """XNNPACK runs the rest, and the runtime then says that all is accelerated."""
    result = gpu(file_of("rank_6"), InputOverrides())
    assert result.acceleration == "partial" and (result.on_gpu, result.operators) == (1, 5)
    assert {name for name, _ in result.refused} == {"RESHAPE", "TRANSPOSE"}
    assert all("dims size: 6" in reason for _, reason in result.refused)
    assert result.right and result.inputs.startswith("4 random inputs (floats from -1 to 1)")
    assert result.passed(allow_partial=True) and not result.passed(allow_partial=False)
    assert gpu_failure(result, allow_partial=False) == "partly accelerated"
    assert gpu_cell(result) == "partial"


def test_nothing_is_accelerated(gpu):
    result = gpu(file_of("gather"), InputOverrides())
    assert result.acceleration == "none" and result.on_gpu == 0
    assert result.refused == (("GATHER_ND", "Operation is not supported."),)
    assert "not accelerated, 0 of 1 operators" in format_gpu(result)


def test_a_file_that_is_refused_as_a_whole(gpu):
    result = gpu(file_of("open"), InputOverrides())
    assert result.acceleration == "refused" and "dynamic-sized tensors" in result.message
    assert not result.passed(allow_partial=True)


def test_a_crash_is_explained(gpu):
    result = gpu(file_of("square"), InputOverrides())
    assert result.acceleration == "crashed" and result.right is None and not result.outputs
    assert "while compiling for the GPU" in result.message
    assert "BATCH_MATMUL 1 of" in result.message
    assert not result.passed(allow_partial=True) and gpu_cell(result) == "crashed"


def test_wrong_numbers(gpu):
    """A GPU's sine of large angles is its own."""
    result = gpu(file_of("sine"), InputOverrides())
    assert result.acceleration == "full" and result.right is False
    assert result.outputs[0].max_abs_difference > 1e-3
    assert gpu_failure(result, allow_partial=True) == "wrong numbers"
    assert "60 dB is the least" in format_gpu(result)
    # Fed with values up to 1, it computes with angles up to 1e6.
    ((name, largest),) = result.beyond_float16
    assert name == "mul" and 65504 < largest <= 1e6
    assert "half precision: 1 tensor goes beyond 65,504" in format_gpu(result)


def test_outputs_that_cannot_be_read_are_not_right(gpu):
    result = gpu(file_of("int64"), InputOverrides())
    assert len(result.outputs) == 1 and result.outputs[0].snr_db > 60
    assert result.right is None and "int64" in result.not_compared
    assert gpu_failure(result, allow_partial=True) == "numbers not compared"


def test_a_file_that_hangs_is_stopped(gpu):
    result = gpu(tiny_model("conv"), InputOverrides(), timeout_seconds=0.05)
    assert result.acceleration == "hung" and "no end in time" in result.message
    assert not result.passed(allow_partial=True)


def test_a_silent_fall_back_to_the_cpu_is_an_error(gpu, tmp_path):
    """Without the accelerator's library the runtime takes the CPU, and calls that accelerated."""
    with pytest.raises(NoAcceleratorError, match="no GPU accelerator that can be loaded"):
        gpu(tiny_model("conv"), InputOverrides(), runtime_folder=tmp_path)


def test_no_vulkan_device(gpu, monkeypatch):
    monkeypatch.setenv("VK_ICD_FILENAMES", "/missing.json")
    with pytest.raises(NoAcceleratorError, match="apt-get install") as raised:
        gpu(tiny_model("conv"), InputOverrides())
    assert str(raised.value).endswith("VK_ICD_FILENAMES=/missing.json")
    assert vulkan_devices(None) == []


def test_swiftshader_is_found_where_a_browser_has_it(tmp_path, monkeypatch):
    monkeypatch.setattr(drivers, "_BROWSERS", ("/missing", os.fspath(tmp_path)))
    for name in drivers.CHOICES:
        monkeypatch.delenv(name, raising=False)
    assert find_swiftshader() is None
    assert list(drivers.drivers(tmp_path)) == [None]
    (tmp_path / "libvk_swiftshader.so").touch()
    system, icd = drivers.drivers(tmp_path)
    library = json.loads(pathlib.Path(icd).read_text())["ICD"]["library_path"]
    assert system is None and library == os.fspath(tmp_path / "libvk_swiftshader.so")
    # Whoever names a driver gets that one.
    monkeypatch.setenv("VK_DRIVER_FILES", "/some.json")
    assert list(drivers.drivers(tmp_path)) == [None]


def test_inputs_are_what_the_model_takes(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for number, pixels in enumerate(images(3)):
        Image.fromarray(pixels).save(photos / f"{number}.png")
    path = tmp_path / "model.tflite"
    path.write_bytes(foreign_tflite("float32"))
    whole = dataclasses.replace(FOREIGN, crop_ratio=1.0)
    chosen = choose_inputs(path, read_graph(path), os.fspath(photos), 4, whole)
    assert chosen.are_images and chosen.description == f"3 images of {photos}"
    (values,) = chosen.arrays.values()
    # The fourth inference takes the first image again.
    expected = normalize(images(3)[[0, 1, 2, 0]], PREPROCESSING)
    np.testing.assert_array_equal(values, expected[:, None])


def test_random_inputs_are_in_range(tmp_path):
    path = tmp_path / "two.tflite"
    path.write_bytes(tiny_model("two"))
    graph = read_graph(path)
    chosen = choose_inputs(path, graph, "bundled", 3, InputOverrides())
    assert not chosen.are_images and "int32 0 and 1" in chosen.description
    by_name = {graph.tensors[i].dtype: values for i, values in chosen.arrays.items()}
    assert by_name["int32"].shape == (3, 4) and set(np.unique(by_name["int32"])) <= {0, 1}
    with pytest.raises(ValueError, match="Received"):
        choose_inputs(path, graph, "bundled", 3, FOREIGN)


def test_custom_operators_are_asked_of_the_accelerator(gpu):
    result = gpu(transposed_convolution(), InputOverrides(), precision="float32")
    assert result.acceleration == "full" and result.not_compared is None
    assert result.outputs[0].snr_db > 60
    result = gpu(tiny_model("custom"), InputOverrides())
    assert result.acceleration == "refused" and "unresolved custom op" in result.message


def test_command(gpu, tmp_path):
    path, output = tmp_path / "part.tflite", tmp_path / "audit.json"
    path.write_bytes(file_of("rank_6"))
    done = run_command(
        "audit", "--gpu", "--samples=2", f"--model={path}", f"--output_json={output}"
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "error: part.tflite on the GPU: partly accelerated"
    assert "partly accelerated, 1 of 5 operators" in done.stdout
    assert json.loads(output.read_text())[0]["gpu"]["acceleration"] == "partial"
