import dataclasses

import numpy as np
import pytest

from android_bench.records import of_kind, read_records
from android_bench.run.host_model import HostModel
from android_bench.run.plan import read_models
from android_bench.run.verify import Verification, _top1, compare_outputs
from care_keras.convert.images import read_pixels
from care_keras.data.sources import BCCD_SAMPLE, open_source
from care_keras.litert.model import LiteRTModel
from tests.android_bench.sessions import make_request, run_session
from tests.tflite.dense_models import write_dense_model
from tests.tflite.several_ends import EXTRA_WEIGHTS, write_several_ends
from tests.tflite.tiny_classifiers import expected_scores
from tflite.inputs.model_inputs import tflite_input


def test_integers_by_their_codes():
    host = np.array([[1, -3, 5], [7, 9, 11]], np.int8)
    assert compare_outputs(host, host, 1, 0).verdict == "exact"
    phone = host.copy()
    phone[1, 2] -= 2
    difference = compare_outputs(phone, host, 2, 0)
    assert (difference.verdict, difference.largest, difference.worst_image) == (
        "within 2 codes",
        2.0,
        1,
    )
    assert (difference.differing, difference.values) == (1, 6)
    assert compare_outputs(phone, host, 1, 0).verdict == "wrong"
    # The difference of two codes does not fit the type.
    ends = np.array([[-128]], np.int8), np.array([[127]], np.int8)
    assert compare_outputs(*ends, 1, 0).largest == 255


def test_floats_by_tolerance():
    host = np.array([[10.0, -1.0, 0.0]], np.float32)
    phone = host + np.array([[0.0, 0.001, 0.0]], np.float32)
    assert compare_outputs(phone, host, 1, 2e-4).verdict == "within tolerance"
    assert compare_outputs(phone, host, 1, 5e-5).verdict == "wrong"
    for bad in (np.nan, np.inf):
        assert compare_outputs(np.full_like(host, bad), host, 1, 0.1).verdict == "wrong"
        both = np.array([[bad, 1.0, 2.0]], np.float32)
        assert compare_outputs(both, both, 1, 0.1).verdict == "exact"
    with pytest.raises(ValueError, match="same shape and type"):
        compare_outputs(host, host.astype(np.float64), 1, 0)


@pytest.fixture(scope="module")
def verification_of(nano_files):
    """A verification of the bundled model's files, or others, on the first bundled test images."""

    def make(names, compared=2, top1=0, **fields):
        models = read_models([str(nano_files.get(name, name)) for name in names])
        source = open_source("bundled", "test").sample(max(compared, top1))
        inputs = {model.sha256: tflite_input(model.path) for model in models}
        record = next(iter(inputs.values())).preprocessing
        pixels, labels = read_pixels(source, record, "reading")
        return Verification(
            inputs,
            {model.sha256: pixels for model in models},
            labels if top1 else None,
            compared,
            1,
            source.name,
            {digest: np.arange(10) for digest in inputs} if top1 else {},
            **fields,
        )

    return make


def test_the_host_model_is_the_one_of_all_tools(nano_files, verification_of):
    path = nano_files["int8"]
    verification = verification_of(["int8"])
    ((digest, model_input),) = verification.inputs.items()
    host = HostModel(path, model_input, True)
    usual = LiteRTModel(path)
    for image in verification.pixels[digest]:
        content = host.content(image)
        (images,), (output,) = content.values(), host.first_outputs(content).values()
        assert images.shape == (1, 32, 32, 3) and images.dtype == np.uint8
        assert np.array_equal(output, usual.run(images)[0])
        (read,) = host.read(usual.run(images).tobytes()).values()
        assert np.array_equal(read, output)
    with pytest.raises(ValueError, match="another size. Received: 3 bytes"):
        host.read(b"abc")


def test_outputs_are_checked_with_the_threads_that_are_timed(
    phone, nano_files, verification_of, stand_in_binary, tmp_path
):
    path = tmp_path / "run.jsonl"
    request = make_request(
        [nano_files["int8"]],
        stand_in_binary,
        threads=[1, 2],
        cores=["all", "big"],
        verification=verification_of(["int8"], compared=1),
    )
    failed, lines = run_session(phone, request, path, timed=False)
    records = of_kind(read_records(path), "verify")
    # Once for each number, whatever the cores.
    assert failed == 0 and [record["threads"] for record in records] == [1, 2]
    assert sum("xnnpack, 2 threads: exact" in line for line in lines) == 1
    _, lines = run_session(phone, request, path, resume=True, timed=False)
    assert not any("verified" in line for line in lines)


def test_right_numbers_on_the_phone(phone, nano_files, verification_of, stand_in_binary, tmp_path):
    path = tmp_path / "run.jsonl"
    request = make_request(
        [nano_files["int8"]],
        stand_in_binary,
        delegates=["xnnpack", "cpu"],
        verification=verification_of(["int8"], compared=2, top1=5),
    )
    failed, lines = run_session(phone, request, path, timed=False)
    records = of_kind(read_records(path), "verify")
    assert failed == 0 and [record["delegate"] for record in records] == ["xnnpack", "cpu"]
    for record in records:
        # The same runtime on the same machine: to the bit, with either kernels.
        assert record["verdict"] == "exact" and record["largest_difference"] == 0
        assert (record["compared"], record["labelled"]) == (2, 5)
        assert record["top1"] == record["host_top1"] >= 0.4
    assert any("exact, 2 images; top-1" in line for line in lines)
    # What was verified is not verified again.
    _, lines = run_session(phone, request, path, resume=True, timed=False)
    assert not any("verified" in line for line in lines)
    # Nor is it gone on with by other rules.
    laxer = dataclasses.replace(request.verification, max_codes=9)
    request = dataclasses.replace(request, verification=laxer)
    with pytest.raises(ValueError, match="another setting verification max_codes: 1. Received: 9"):
        run_session(phone, request, path, resume=True, timed=False)


def test_classes_are_the_data_s():
    """By the model's scores or the class that it gives; in the data's order, and of its classes."""
    scores = [np.eye(4)[index] for index in (0, 1, 2, 3)]
    classes = np.array([1, 0, -1, 2])  # The third is none of the data's.
    assert _top1(scores, np.array([1, 0, 0, 2]), classes, False) == 0.75
    picked = [np.array([index], np.int32) for index in (0, 1, 2, 9)]
    assert _top1(picked, np.array([1, 0, 0, 2]), classes, True) == 0.5


def test_as_many_images_for_top1_as_are_compared(
    phone, nano_files, verification_of, stand_in_binary, tmp_path
):
    verification = verification_of(["int8"], compared=3, top1=3)
    request = make_request([nano_files["int8"]], stand_in_binary, verification=verification)
    run_session(phone, request, tmp_path / "run.jsonl", timed=False)
    (record,) = of_kind(read_records(tmp_path / "run.jsonl"), "verify")
    assert (record["compared"], record["labelled"]) == (3, 3) and record["top1"] is not None


@pytest.mark.parametrize(
    ("name", "spoil", "verdict"),
    [
        ("int8", lambda data: bytes([data[0] ^ 1]) + data[1:], "within 1 code"),
        ("int8", lambda data: bytes([data[0] ^ 64]) + data[1:], "wrong"),
        ("float32", lambda data: bytes([data[0] ^ 1]) + data[1:], "within tolerance"),
        ("float32", lambda data: data[:3] + bytes([data[3] ^ 64]) + data[4:], "wrong"),
        ("int8", lambda data: data[:-1], None),
    ],
)
def test_wrong_numbers_on_the_phone(
    phone, fake, nano_files, verification_of, stand_in_binary, tmp_path, name, spoil, verdict
):
    path = tmp_path / "run.jsonl"
    request = make_request(
        [nano_files[name]], stand_in_binary, verification=verification_of([name], compared=1)
    )
    fake.faults.spoil_output = spoil
    failed, _ = run_session(phone, request, path, timed=False)
    (record,) = of_kind(read_records(path), "verify")
    assert record.get("verdict") == verdict
    assert failed == (verdict in (None, "wrong")) == (record["status"] == "failed")
    if verdict is None:
        assert "another size" in record["reason"]


def verified(phone, request, path):
    """Failures, the record and the line of a session that verifies one model."""
    failed, lines = run_session(phone, request, path, timed=False)
    (record,) = of_kind(read_records(path), "verify")
    return failed, record, next(line for line in lines if "verified" in line)


@pytest.mark.parametrize("kind", ["both", "batch", "unlike"])
def test_all_inputs_and_outputs(phone, verification_of, stand_in_binary, tmp_path, kind):
    path = write_several_ends(tmp_path / "model.tflite", kind)
    verification = verification_of([path], 2, 5, top1_output="scores")
    request = make_request([path], stand_in_binary, verification=verification)
    failed, record, line = verified(phone, request, tmp_path / "run.jsonl")
    assert failed == 0 and record["verdict"] == "exact"
    assert record["outputs"] == {"scores": "exact", "box": "exact"}
    assert ": exact in all outputs, 2 images; top-1 " in line
    assert record["top1"] == record["host_top1"]


def test_a_detectors_boxes_and_scores(phone, fake, verification_of, stand_in_binary, tmp_path):
    _, path = write_dense_model("detection", tmp_path, BCCD_SAMPLE / "images")
    request = make_request([path], stand_in_binary, verification=verification_of([path], 2))
    failed, record, _ = verified(phone, request, tmp_path / "run.jsonl")
    assert failed == 0 and set(record["outputs"].values()) == {"exact"}
    assert {name.split(":")[0] for name in record["outputs"]} >= {"location", "score"}


def test_what_the_host_feeds_and_reads(tmp_path):
    path = write_several_ends(tmp_path / "model.tflite", "batch")
    host = HostModel(path, tflite_input(path), True)
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    content = host.content(pixels, 3)
    assert content["images"].shape == (4, 8, 8, 3) and content["extra"].shape == (4, 5)
    outputs = host.first_outputs(content)
    expected = expected_scores(pixels[None])[0]
    np.testing.assert_allclose(outputs["box"], 2 * expected[:2], atol=1e-5)
    scores = expected + content["extra"][0] @ EXTRA_WEIGHTS
    np.testing.assert_allclose(outputs["scores"], scores, atol=1e-5)
    assert not np.array_equal(content["extra"], host.content(pixels, 4)["extra"])


@pytest.mark.parametrize(("place", "output"), [(0, "scores"), (6, "box")])
def test_the_worst_output_decides(
    phone, fake, verification_of, stand_in_binary, tmp_path, place, output
):
    path = write_several_ends(tmp_path / "model.tflite", "both")

    def spoil(data):
        values = np.frombuffer(data, np.float32).copy()
        values[place] += 10.0
        # Rounding in the other one.
        values[7 - place] = np.nextafter(values[7 - place], np.float32(99))
        return values.tobytes()

    fake.faults.spoil_output = spoil
    request = make_request([path], stand_in_binary, verification=verification_of([path], 2))
    failed, record, line = verified(phone, request, tmp_path / "run.jsonl")
    assert failed == 1 and (record["verdict"], record["output"]) == ("wrong", output)
    other = {"scores": "box", "box": "scores"}[output]
    assert record["outputs"] == {output: "wrong", other: "within tolerance"}
    assert f": WRONG in {output}, largest difference " in line


def test_top1_needs_one_output(phone, verification_of, stand_in_binary, tmp_path):
    path = write_several_ends(tmp_path / "model.tflite", "outputs")
    request = make_request([path], stand_in_binary, verification=verification_of([path], 1, 2))
    failed, record, _ = verified(phone, request, tmp_path / "run.jsonl")
    assert failed == 1 and "choose one with --top1_output=NAME" in record["reason"]


def test_a_scalar_cannot_be_given(phone, verification_of, stand_in_binary, tmp_path):
    path = write_several_ends(tmp_path / "model.tflite", "scalar")
    request = make_request([path], stand_in_binary, verification=verification_of([path], 1))
    failed, record, _ = verified(phone, request, tmp_path / "run.jsonl")
    assert failed == 1
    assert record["reason"] == "benchmark_model cannot be given a scalar. Received: input extra"
