"""ARM64 for real: what `python -m tflite.arm64 --setup` has put in place."""

import json
import os
import platform

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from care_keras.convert.conversion import convert_model
from care_keras.loading import load_any
from care_keras.tflite_file import read_graph
from care_keras.tflite_file.writer import Quantization, Writer
from tests.tflite.commands import run_command
from tests.tflite.foreign_models import PREPROCESSING, foreign_tflite
from tests.tflite.tiny_models import tiny_model
from tflite.arm64 import core_id
from tflite.arm64.pins import DEFAULT_RUNTIME
from tflite.child.program import run
from tflite.runs.python import host_command
from tflite.runs.run import Run, run_images
from tflite.runs.tensors import expose_tensors, partings, readable_tensors, same_outputs


@pytest.fixture(scope="module")
def foreign_file(tmp_path_factory):
    """MobileNetV2 in int8, with the JSON beside it."""
    path = tmp_path_factory.mktemp("foreign") / "mobilenet.tflite"
    path.write_bytes(foreign_tflite("int8"))
    record = {"input": {"kind": "float"}, "preprocessing": PREPROCESSING.to_dict()}
    path.with_suffix(".json").write_text(json.dumps(record))
    return path


@pytest.fixture(scope="module")
def float_file(tmp_path_factory):
    """The bundled model in float32, with the JSON beside it."""
    path = tmp_path_factory.mktemp("float") / "nano.tflite"
    model = load_any("care_nano_cifar10")
    path.write_bytes(convert_model(model, model.preprocessing).content)
    record = {"input": {"kind": "float"}, "preprocessing": model.preprocessing.to_dict()}
    path.with_suffix(".json").write_text(json.dumps(record))
    return path


def test_python_sees_the_core(emulator, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/host")
    code = (
        "import os, platform, sys; print(platform.machine(), sys.path.count('/host'));"
        "print(open('/proc/cpuinfo').read())"
    )
    with emulator.as_core("cortex-a53") as command:
        done = run([*command, "-c", code], 120)
    assert done.exit_code == 0, done.stderr
    first, *lines = done.stdout.splitlines()
    assert first == "aarch64 0"
    # Arm's own numbers of itself and of this part.
    assert "CPU implementer\t: 0x41" in lines and "CPU part\t: 0xd03" in lines
    assert sum(line.startswith("processor") for line in lines) == os.cpu_count()


def test_cpuinfo_says_what_the_register_says():
    text = core_id.cpuinfo(0x414FD0B1, 2)
    assert text.count("CPU variant\t: 0x4\nCPU part\t: 0xd0b\nCPU revision\t: 1\n\n") == 2
    assert text.startswith("processor\t: 0\nCPU implementer\t: 0x41\nCPU architecture: 8\n")


def test_a_core_that_qemu_lacks(emulator):
    with (
        pytest.raises(ValueError, match="cannot run Python as the core cortex-z9. Received: .*z9"),
        emulator.as_core("cortex-z9"),
    ):
        pass


def test_operators_that_part_are_told_from_what_follows(tmp_path):
    path = tmp_path / "mixed.tflite"
    path.write_bytes(tiny_model("mixed"))
    exposed = tmp_path / "exposed.tflite"
    exposed.write_bytes(expose_tensors(path.read_bytes()))
    graph = read_graph(path)
    labels = [operator.label for operator in graph.operators]
    images = np.random.default_rng(0).normal(size=(2, 16, 16, 3)).astype(np.float32)
    plain = run_images(host_command(), path, images, (1, 16, 16, 3), 60)
    host = run_images(host_command(), exposed, images, (1, 16, 16, 3), 60)
    tensors = readable_tensors(graph)
    assert len(host.outputs[0]) == len(tensors) == len(labels) == 3
    assert same_outputs(graph, plain, host)
    assert all(one.parted == 0 for one in partings(graph, host, host))
    # A runtime whose CUMSUM is off by one in one image, and what comes of it.
    off = {image: [array.copy() for array in arrays] for image, arrays in host.outputs.items()}
    by_label = {
        label: tensors.index(graph.operators[labels.index(label)].outputs[0]) for label in labels
    }
    last = tensors.index(graph.main.outputs[0])
    off[1][by_label["CUMSUM"]][0, 0, 0, 0] += 1.0
    off[1][last] += 1.0
    other = Run(names=host.names, outputs=off)
    found = {one.operator: one for one in partings(graph, host, other)}
    assert (found["CUMSUM"].judged, found["CUMSUM"].parted, found["CUMSUM"].differing) == (2, 1, 1)
    # The second convolution of that image was given other values, and says nothing.
    assert (found["CONV_2D"].judged, found["CONV_2D"].parted) == (3, 0)
    assert next(iter(found)) == "CUMSUM"
    off[0][last] = off[0][last] + 1.0
    assert not same_outputs(graph, plain, other)


def command(*arguments, **environment):
    return run_command("arm64", *arguments, **environment)


def test_integers_are_the_hosts(emulator, foreign_file, tmp_path):
    output = tmp_path / "results.json"
    done = command(f"--model={foreign_file}", "--core=max", "--inputs=8", f"--output_json={output}")
    assert done.returncode == 0, done.stderr
    assert f"emulated: LiteRT {DEFAULT_RUNTIME}" in done.stdout and "warning" not in done.stdout
    rows = [line.split() for line in done.stdout.splitlines() if "  max  " in line]
    assert [(row[0], row[2], row[-1]) for row in rows] == [
        (DEFAULT_RUNTIME, threads, "equal") for threads in ("1", "2", "4")
    ]
    (record,) = json.loads(output.read_text())
    assert record["images"] == ["constant", "single pixel", "noise", "photo"] * 2
    assert record["host"]["machine"] == platform.machine()
    arm64, *others = record["emulated"]
    assert [one["threads"] for one in (arm64, *others)] == [1, 2, 4]
    assert (arm64["machine"], arm64["version"]) == ("aarch64", DEFAULT_RUNTIME)
    assert (arm64["verdict"], arm64["images_compared"], arm64["failures"]) == ("equal", 8, {})
    assert arm64["values"] == arm64["equal_values"] == 80 and arm64["xnnpack_ops"] > 60
    assert arm64["qemu"] == emulator.qemu_version
    assert any(name.startswith("libc6 ") for name in record["debian_packages"])


@pytest.fixture(scope="module")
def columns_file(tmp_path_factory):
    """A product of 24 columns, as XNNPACK packs them wrongly where several threads do it."""
    path = tmp_path_factory.mktemp("columns") / "columns.tflite"
    codes = Quantization(np.asarray([0.05], np.float32))
    writer = Writer("test")
    images = writer.tensor("images", (1, 8, 24, 3), np.int8, codes)
    shape = writer.constant("shape", np.asarray((1, 24, 24), np.int32))
    left, right = (
        writer.operator(
            "RESHAPE",
            1,
            [images, shape],
            writer.tensor(name, (1, 24, 24), np.int8, codes),
            schema.ReshapeOptionsT(),
        )
        for name in ("left", "right")
    )
    product = writer.tensor("product", (1, 24, 24), np.int8, Quantization(np.float32([0.5]), -4))
    writer.operator("BATCH_MATMUL", 2, [left, right], product, schema.BatchMatMulOptionsT())
    path.write_bytes(writer.finish({"images": images}, {"outputs": product}))
    record = {"input": {"kind": "float"}, "preprocessing": PREPROCESSING.to_dict()}
    record["preprocessing"] |= {"height": 8, "width": 24}
    path.with_suffix(".json").write_text(json.dumps(record))
    return path


def test_several_threads_are_told_from_one(emulator, columns_file, tmp_path):
    """The fault is the runtime's; what counts is that the command sees it, and audit names it."""
    output = tmp_path / "results.json"
    done = command(f"--model={columns_file}", "--core=max", "--inputs=8", f"--output_json={output}")
    assert done.returncode == 1
    (record,) = json.loads(output.read_text())
    verdicts = {one["threads"]: one["verdict"] for one in record["emulated"]}
    assert verdicts == {1: "equal", 2: "wrong", 4: "wrong"}
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: ARM64 does not give what the host gives")
    assert f"columns.tflite, {DEFAULT_RUNTIME}, max, 4 threads: wrong" in last
    assert "1 thread:" not in last
    audited = run_command("audit", f"--model={columns_file}", "--portable")
    assert audited.returncode == 1 and "batch-matmul-threads" in audited.stdout
    assert audited.stderr.splitlines()[-1] == (
        "error: columns.tflite is not portable: 1 batch-matmul-threads "
        "(first: int8 BATCH_MATMUL of 24 columns with adj_y False)"
    )


def test_half_precision_holds(emulator, float_file, tmp_path):
    output = tmp_path / "results.json"
    arguments = ["--fp16", "--inputs=7", f"--output_json={output}", "--data=bundled"]
    done = command(f"--model={float_file}", "--core=cortex-a76", *arguments)
    assert done.returncode == 0, done.stderr
    (record,) = json.loads(output.read_text())
    assert record["images"] == ["constant", "single pixel", "noise", *["photo"] * 4]
    (arm64,) = record["emulated"]
    assert arm64["computed_in_half_precision"] and arm64["verdict"] == "holds"
    assert (arm64["photos_compared"], arm64["top1_agreement"]) == (4, 1.0)
    # What rounding to 11 bits leaves: float32 would give more than 100 dB.
    assert 20.0 < arm64["snr_db"] < 80.0


def test_a_core_without_half_precision_is_no_check(emulator, float_file):
    done = command(f"--model={float_file}", "--core=cortex-a53", "--fp16", "--inputs=4")
    assert done.returncode == 1
    assert "the core has no such arithmetic" in done.stdout
    assert done.stderr.splitlines()[-1].endswith("cortex-a53, 1 thread: computed in float32")


def test_numbers_beyond_half_precision_are_seen(emulator, tmp_path):
    """A network whose sums float32 holds, and float16 does not."""
    path = tmp_path / "large.tflite"
    writer = Writer("test")
    images = writer.tensor("images", (1, 8, 8, 3), np.float32)
    sizes = writer.constant("factor", np.full((1, 1, 1, 3), 1e6, np.float32))
    large = writer.tensor("large", (1, 8, 8, 3), np.float32)
    options = schema.MulOptionsT()
    writer.operator("MUL", 1, [images, sizes], large, options)
    small = writer.constant("inverse", np.full((1, 1, 1, 3), 1e-6, np.float32))
    writer.operator(
        "MUL",
        1,
        [large, small],
        output := writer.tensor("scores", large.shape, np.float32),
        options,
    )
    path.write_bytes(writer.finish({"images": images}, {"outputs": output}))
    flags = ["--mean=0,0,0", "--std=1,1,1", "--inputs=5"]
    done = command(f"--model={path}", "--core=cortex-a76", "--fp16", *flags)
    assert done.returncode == 1, done.stderr
    assert done.stderr.splitlines()[-1].endswith("cortex-a76, 1 thread: not finite")
    audited = run_command("audit", f"--model={path}", "--fp16", *flags[:2])
    assert audited.returncode == 1
    # Nearly a million: white, of which the resized photos have little.
    assert audited.stderr.splitlines()[-1].startswith(
        "error: half precision does not hold large.tflite: 1 of 2 tensors goes beyond 65,504 "
        "(large 9."
    )


def test_half_precision_is_for_floats(emulator, foreign_file):
    done = command(f"--model={foreign_file}", "--fp16")
    assert done.returncode == 2
    assert "error: Half precision is for files that compute in floats." in done.stderr


def test_bad_use_is_one_line_and_exit_code_2(tmp_path):
    (tmp_path / "m.tflite").touch()
    done = command(
        f"--model={tmp_path}/m.tflite", f"--cache_dir={tmp_path}/empty", PATH="/nonexistent"
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "error: Not set up: run with --setup first." in done.stderr
    assert not (tmp_path / "empty").exists()
    done = command(f"--model={tmp_path}/m.tflite", "--threads=1,0")
    assert done.returncode == 2
    assert "error: --threads must be numbers above 0, as 1,2,4, not '1,0'" in done.stderr
