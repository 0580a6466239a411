"""Counts for real, where `python -m tflite.arm64 --setup` has been run with a compiler."""

import json

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from care_keras.tflite_file.writer import Quantization, Writer
from tests.tflite.commands import run_command
from tests.tflite.foreign_models import PREPROCESSING
from tflite.arm64.count.measure import Job, count

# Multiples of all kernels' tiles: of 4, 6 and 7 pixels, of 8 and 16 channels.
HEIGHT, WIDTH, CHANNELS = 12, 14, 64
OUTPUTS = HEIGHT * WIDTH * CHANNELS
MULTIPLICATIONS = OUTPUTS * CHANNELS


def convolution(dtype, channels_in=CHANNELS):
    """A 1x1 convolution."""
    rng = np.random.default_rng(0)
    codes = steps = bias_steps = None
    filters = rng.integers(-100, 100, (CHANNELS, 1, 1, channels_in)).astype(dtype)
    if dtype == np.int8:
        codes = Quantization(np.float32([0.5]))
        steps = Quantization(np.full(CHANNELS, 0.01, np.float32))
        bias_steps = Quantization(np.full(CHANNELS, 0.005, np.float32))
    writer = Writer("test")
    images = writer.tensor("images", (1, HEIGHT, WIDTH, channels_in), dtype, codes)
    options = schema.Conv2DOptionsT()
    options.padding, options.strideW, options.strideH = schema.Padding.VALID, 1, 1
    bias = np.zeros(CHANNELS, np.int32 if dtype == np.int8 else np.float32)
    output = writer.operator(
        "CONV_2D",
        3,
        [
            images,
            writer.constant("filters", filters, steps),
            writer.constant("bias", bias, bias_steps),
        ],
        writer.tensor("outputs", (1, HEIGHT, WIDTH, CHANNELS), dtype, codes),
        options,
    )
    return writer.finish({"images": images}, {"outputs": output})


@pytest.fixture
def jobs(tmp_path):
    """The convolution in int8 and in float32, and a file that is none."""
    made = []
    for dtype in (np.int8, np.float32):
        path = tmp_path / f"{np.dtype(dtype)}.tflite"
        path.write_bytes(convolution(dtype))
        made.append(Job(path, {0: np.ones((1, 1, HEIGHT, WIDTH, CHANNELS), dtype)}))
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"none")
    return [*made, Job(broken, {})]


@pytest.mark.parametrize(
    "core, int8_class, products",
    # An `smlal` to 32 bits is 4 products, an `sdot` 16, an `smmla` 32.
    [("cortex-a53", "multiply_long", 4), ("cortex-a76", "dot", 16), ("max", "matrix", 32)],
)
def test_products_are_counted_exactly(emulator, counter, jobs, core, int8_class, products):
    seen = []
    int8, float32, broken = count(emulator, counter, core, jobs, 300, lambda: seen.append(1))
    assert len(seen) == 3
    assert int8.counts.by_class[int8_class] == MULTIPLICATIONS // products
    assert float32.counts.by_class["fmla"] == MULTIPLICATIONS // 4
    assert broken.counts is None and "cannot open" in broken.error
    # The outputs are stored once, 16 or in pairs 32 bytes at a time, and little besides.
    assert OUTPUTS // 32 <= int8.counts.by_class["vector_store"] < 2 * OUTPUTS // 16
    assert OUTPUTS // 8 <= float32.counts.by_class["vector_store"] < 2 * OUTPUTS // 4
    assert int8.counts.by_class["scalar"] > 0
    again, *_ = count(emulator, counter, core, jobs[:1], 300)
    assert again.counts.arithmetic == int8.counts.arithmetic
    assert again.counts.memory == pytest.approx(int8.counts.memory, rel=1e-2)
    assert again.counts.total == pytest.approx(int8.counts.total, rel=1e-2)


def test_the_whole_way(emulator, counter, tmp_path):
    path, output = tmp_path / "conv.tflite", tmp_path / "counts.json"
    path.write_bytes(convolution(np.float32, channels_in=3))
    preprocessing = PREPROCESSING.to_dict() | {"height": HEIGHT, "width": WIDTH}
    record = {"input": {"kind": "float"}, "preprocessing": preprocessing}
    path.with_suffix(".json").write_text(json.dumps(record))
    arguments = ["--count", "--count_operators", "--core=cortex-a53", f"--model={path}"]
    done = run_command("arm64", *arguments, f"--output_json={output}")
    assert done.returncode == 0, done.stderr
    assert "conv.tflite, 2.3.0, cortex-a53: its operators, each run as a file" in done.stdout
    (record,) = json.loads(output.read_text())
    (operator,) = record["operators"]
    assert (operator["operator"], operator["number"], operator["not_counted"]) == ("CONV_2D", 1, [])
    assert operator["by_class"]["fmla"] == record["by_class"]["fmla"] > 0
    assert record["total"] == pytest.approx(operator["total"], rel=0.05)
    # What had fewer before.
    for name in ("total", "vector_arithmetic"):
        record[name] //= 2
    record["by_class"]["fmla"] //= 2
    output.write_text(json.dumps([record]))
    done = run_command("arm64", *arguments[:1], *arguments[2:], f"--compare={output}")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        "error: grew by more than 1 %: total of conv.tfl"
    )
