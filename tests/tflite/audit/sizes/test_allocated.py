"""Figures of files that leave sizes open."""

import json

import pytest

from care_keras.tflite_file import read_graph
from tests.care_keras.tflite_file.files import function_file
from tests.tflite.commands import run_here
from tests.tflite.made_once import made_once
from tests.tflite.tiny_classifiers import tiny_classifier
from tflite.audit.report import audit_file
from tflite.audit.sizes.allocated import allocated_sizes
from tflite.audit.text import format_audit, format_summary

# Two convolutions of 3x3 on a 32x32x3 image, 16 channels and then 32 by steps of 2.
MACS = 32 * 32 * 16 * 27 + 16 * 16 * 32 * 9 * 16


@made_once
def open_file(kind: str) -> bytes:
    """A file of those convolutions, of which a size is open.

    `samples` cuts the image out of a row of samples of an open batch: the converter knows no size
    in between, though all follow from the input's. `images` takes images of any size, `masked`
    goes on with the rows above 0 of what it makes, `flex` has an operation that LiteRT lacks.
    """
    import tensorflow as tf

    first = tf.random.stateless_normal((3, 3, 3, 16), (1, 1))
    second = tf.random.stateless_normal((3, 3, 16, 32), (1, 2))
    dense = tf.random.stateless_normal((32, 8), (1, 3))

    def convolve(images):
        middle = tf.nn.relu(tf.nn.conv2d(images, first, 1, "SAME"))
        return tf.reduce_mean(tf.nn.conv2d(middle, second, 2, "SAME"), (1, 2))

    def of_samples(samples):
        rows = tf.signal.frame(samples, 96, 96)
        return convolve(tf.reshape(rows, [tf.shape(rows)[0], tf.shape(rows)[1], 32, 3]))

    def masked(images):
        rows = tf.reshape(convolve(images), [32, 1]) * tf.ones([1, 32])
        return tf.boolean_mask(rows, rows[:, 0] > 0) @ dense

    function, shape = {
        "samples": (of_samples, (None, 3072)),
        "images": (convolve, (None, None, None, 3)),
        "masked": (masked, (1, 32, 32, 3)),
        "flex": (lambda x: tf.raw_ops.MatrixInverse(input=convolve(x)), (None, 32, 32, 3)),
    }[kind]
    signature = [tf.TensorSpec(shape, tf.float32, name="values")]
    concrete = tf.function(function, input_signature=signature).get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], tf.Module())
    if kind == "flex":
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.TFLITE_BUILTINS,
            tf.lite.OpsSet.SELECT_TF_OPS,
        ]
    return converter.convert()


@pytest.fixture
def path(tmp_path):
    def write(content):
        (tmp_path / "model.tflite").write_bytes(content)
        return tmp_path / "model.tflite"

    return write


def test_sizes_between_follow_from_the_input(path):
    audit = audit_file(path(open_file("samples")))
    assert audit.macs == MACS == 1_622_016 and audit.macs_complete and not audit.sizes.unknown
    # The largest pair that lives at once: the image's 16 channels, and 32 on a quarter of it.
    assert audit.memory.arena_bytes >= (32 * 32 * 16 + 16 * 16 * 32) * 4
    text = format_audit(audit)
    assert "1.622 M" in text and "figures for     values 1x3072, as LiteRT allocates it" in text
    assert "float32 (?, 3072)" in text
    # Run with others than its placeholder.
    twice = audit_file(path(open_file("samples")), {"values": [2, 3072]})
    assert twice.macs == 2 * MACS and twice.memory.arena_bytes > audit.memory.arena_bytes


def test_images_of_any_size_are_not_known(path):
    file = path(open_file("images"))
    audit = audit_file(file)
    assert not audit.macs_complete and audit.macs == 0 and audit.memory.arena_bytes is None
    text = format_audit(audit, operators=True)
    assert "MACs            not known (-)" in text and "arena           not known (-)" in text
    assert (
        "not known (-)   as inputs leave sizes open (values ?x?x?x3): give them with --input_shape"
    ) in text
    assert " - " in format_summary([audit])
    assert audit_file(file, {"": [1, 32, 32, 3]}).macs == MACS
    assert audit_file(file, {"serving_default_values:0": [1, 64, 64, 3]}).macs == 4 * MACS


def test_sizes_that_depend_on_what_the_inputs_hold(path):
    audit = audit_file(path(open_file("masked")))
    # What comes before is known, and the dense layer behind it is not.
    assert audit.macs == MACS and not audit.macs_complete
    assert "tensors are of a size that depends on what the inputs hold" in audit.sizes.reason
    assert "at least, as some operators' are not known (-)" in format_audit(audit)


def test_a_file_that_does_not_open(path):
    audit = audit_file(path(open_file("flex")))
    assert audit.macs == 0 and audit.memory.arena_bytes is None
    assert "LiteRT cannot open the model" in audit.sizes.reason
    assert "MACs            not known (-)" in format_audit(audit)


def test_a_file_of_fixed_sizes_is_taken_as_it_is(path):
    content = function_file("small")
    sizes = allocated_sizes(path(content), read_graph(content))
    assert sizes.unknown == frozenset() and not sizes.inputs and sizes.reason is None


@pytest.mark.parametrize(
    "given, message",
    [
        ({"": [1, 8]}, r"has 4 dimensions \(\?x\?x\?x3\). Received: --input_shape=1x8"),
        ({"image": [1, 8, 8, 3]}, "no such input; it has values. Received: .* for image"),
    ],
)
def test_shapes_that_fit_no_input(path, given, message):
    with pytest.raises(ValueError, match=message):
        audit_file(path(open_file("images")), given)


def test_command(path, tmp_path):
    output = tmp_path / "audit.json"
    file = path(open_file("images"))
    for flags in (["--input_shape=1x32x32x3"], ["--size=32", "--mean=0,0,0", "--std=1,1,1"]):
        done = run_here("tflite.audit", f"--model={file}", *flags, f"--output_json={output}")
        assert done.returncode == 0 and f"{MACS:,}" in done.stdout, done.stderr
        (content,) = json.loads(output.read_text())
        assert content["macs"] == MACS and content["input_shapes"] == {"values": [1, 32, 32, 3]}
        assert content["half_precision"]["holds"] is True
    done = run_here("tflite.audit", f"--model={file}", "--input_shape=1x32xN")
    assert done.returncode == 2 and done.stderr.splitlines()[-1].startswith("error: --input_shape")


def test_the_json_beside_a_file_says_the_size_of_images(path):
    file = path(tiny_classifier("open"))
    record = {"height": 24, "width": 16, "mean": [0, 0, 0], "std": [1, 1, 1]}
    record |= {"crop_ratio": 1.0, "interpolation": "bicubic"}
    file.with_suffix(".json").write_text(
        json.dumps({"input": {"kind": "float"}, "preprocessing": record})
    )
    done = run_here("tflite.audit", f"--model={file}")
    assert done.returncode == 0 and "images 1x24x16x3, as LiteRT" in done.stdout, done.stderr
    assert "holds the range" in done.stdout and "images of bundled" in done.stdout
