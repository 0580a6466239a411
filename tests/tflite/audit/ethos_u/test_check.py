"""What `python -m tflite.audit --ethos_u` says, by Vela itself, of files it takes and does not."""

import importlib.util
import json
import pathlib

import pytest

from care_keras.emit.network import emit_tflite
from care_keras.models import load_preset
from care_keras.tflite_file import read_graph
from tests.care_keras.tflite_file.files import function_file
from tests.needed import need_package
from tests.tflite.commands import run_command, run_here
from tests.tflite.several_ends import keras_file
from tests.tflite.tiny_models import tiny_model
from tflite.audit.cost import operator_cost
from tflite.audit.ethos_u.check import audit_ethos_u, check_compilable
from tflite.audit.ethos_u.text import ethos_u_failures, format_ethos_u
from tflite.audit.ethos_u.vela import check_accelerators, compile_file

U65, U85 = "ethos-u65-256", "ethos-u85-256"
FLOAT32 = "Operation has tensor with unsupported DataType Float32"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where Vela is installed: the bundled int8 model, and others of each kind."""
    need_package("ethosu", "vela")
    folder = tmp_path_factory.mktemp("ethos_u")
    model = load_preset("care_nano_cifar10_qat")
    contents = {
        "nano": emit_tflite(model, (32, 32), input_kind="rgb_uint8"),
        # Has float operators between those on codes.
        "islands": emit_tflite(model, (32, 32), target="xnnpack"),
        "ends": keras_file("int8"),
        "float32": tiny_model("conv"),
        "open": tiny_model("open"),
    }
    for name, content in contents.items():
        (folder / f"{name}.tflite").write_bytes(content)
    return folder


def audit(path, *accelerators):
    graph = read_graph(path)
    macs = [operator_cost(graph.main, operator).macs for operator in graph.operators]
    return audit_ethos_u(path, graph, macs, accelerators)


def words(text):
    return " ".join(text.split())


def test_the_bundled_file(folder):
    flags = [f"--ethos_u={U65},{U85},{U65}", "--model=nano.tflite", "--output_json=vela.json"]
    done = run_command("audit", *flags, folder=folder)
    assert done.returncode == 0, done.stderr
    assert "compiling nano.tflite for ethos-u85-256\n" in done.stderr
    (record,) = json.loads((folder / "vela.json").read_text())
    compilations = record["ethos_u"]["compilations"]
    assert [one["accelerator"] for one in compilations] == [U65, U85]
    for one in compilations:
        assert one["on_npu"] == one["operators"] - 1 == len(record["operators"]) - 1
        assert one["macs_on_npu"] == 1.0 and one["stretches"] == 2
        assert one["on_cpu"] == [
            {
                "operator": "SPACE_TO_DEPTH",
                "tensor": "stem_conv/patches",
                "reason": "Unsupported opType",
            }
        ]
        estimate = one["estimate"]
        assert estimate["cycles"] >= estimate["npu_cycles"] > record["macs"] / 256
        milliseconds = 1e3 * estimate["cycles"] / estimate["clock_hz"]
        assert estimate["inference_ms"] == pytest.approx(milliseconds)
        # The weights lie in DRAM, activations in SRAM: both are counted in bytes.
        assert record["weight_bytes"] < estimate["memory_bytes"]["dram"] < 1.3e6
        assert 3 * 32 * 32 < estimate["memory_bytes"]["sram"] <= 384 * 1024
        assert f"{estimate['system_config']} {estimate['memory_mode']}" in words(done.stdout)
        assert f"{estimate['cycles']:,}" in done.stdout
    # Near the README's, of a file like it: a unit that is taken wrongly shows.
    assert [one["estimate"]["inference_ms"] for one in compilations] == [
        pytest.approx(1.7, rel=0.2),
        pytest.approx(0.8, rel=0.2),
    ]


def test_floats_inside_are_left_and_told(folder):
    found = audit(folder / "islands.tflite", U65)
    (one,) = found.compilations
    graph = read_graph(folder / "islands.tflite")
    assert one.on_npu + len(one.on_cpu) == one.operators == len(graph.operators)
    outputs = {graph.main.output_tensors(operator)[0].name for operator in graph.operators}
    assert {left.tensor for left in one.on_cpu} <= outputs
    assert any(left.reason and left.reason.startswith(FLOAT32) for left in one.on_cpu)
    assert one.stretches > 1 and found.floats
    text = words(format_ethos_u(found))
    assert "convert to int8 without float operators inside" in text
    assert f"{one.on_npu} of {one.operators}" in text
    (failure,) = ethos_u_failures(found, 0.95)
    assert failure.startswith(f"{U65}: {one.on_npu} of {one.operators} operators and ")
    assert failure.endswith("run on the NPU, less than 95%")
    assert not list(ethos_u_failures(found, one.on_npu / one.operators - 0.2))


def test_a_file_of_several_ends_that_the_npu_runs_whole(folder):
    found = audit(folder / "ends.tflite", U85)
    (one,) = found.compilations
    assert one.on_npu == one.operators and not one.on_cpu and one.stretches == 1
    assert not list(ethos_u_failures(found, 1.0))


def test_a_float_file_and_its_summary(folder):
    flags = [f"--ethos_u={U65},{U85}", "--samples=1", "--std=1,1,1", "--mean=0,0,0"]
    done = run_here(
        "tflite.audit", *flags, "--model=float32.tflite", "--model=ends.tflite", folder=folder
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"error: float32.tflite on {U65}, {U85}: nothing runs on the NPU, as the file computes "
        "in floats"
    )
    assert "convert the model to int8 (care_keras.convert --int8)" in words(done.stdout)
    header, _, float32, ends = done.stdout.strip().splitlines()[-4:]
    assert header.split()[-2:] == [U65, U85] and float32.split()[-2:] == ["0.0%", "0.0%"]
    assert ends.count("100.0%, ") == 2 and ends.endswith(" ms")
    done = run_here(
        "tflite.audit", *flags, "--ethos_u_min_share=0", "--model=float32.tflite", folder=folder
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("names", "received"), [("ethos-u99,ethos-u65-256", "ethos-u99"), ("", "none")]
)
def test_an_unknown_accelerator_is_one_line_with_the_known_ones(folder, names, received):
    done = run_here("tflite.audit", f"--ethos_u={names}", "--model=nano.tflite", folder=folder)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: The accelerators are ethos-u55-32, ")
    assert " ethos-u65-256, " in line and line.endswith(f". Received: {received}")


def test_open_sizes_are_the_users_mistake(folder):
    done = run_here("tflite.audit", f"--ethos_u={U65}", "--model=open.tflite", folder=folder)
    assert done.returncode == 2
    assert done.stderr.startswith("error: Vela compiles for fixed sizes, the batch aside: ")
    assert "[-1, -1, -1, 3] in open.tflite" in done.stderr


def test_an_open_batch_is_no_open_size(tmp_path, folder):
    path = tmp_path / "batch.tflite"
    path.write_bytes(function_file("open"))
    (one,) = audit(path, U65).compilations
    assert one.error is None and len(one.on_cpu) == one.operators == 3
    assert all(left.reason.startswith(FLOAT32) for left in one.on_cpu)


def test_a_file_that_vela_has_compiled(folder):
    graph = compile_file(folder / "ends.tflite", U65, 120).graph
    with pytest.raises(ValueError, match="compiled by Vela already: .* Received: "):
        check_compilable(graph)


@pytest.mark.parametrize(
    ("content", "timeout_seconds", "cause"),
    [
        (b"no model", 120, "Vela ended with exit code 1 (RuntimeError: Compilation failed: "),
        (None, 0.1, "Vela was stopped after 0.1 s."),
    ],
)
def test_velas_own_failures(folder, tmp_path, content, timeout_seconds, cause):
    path = tmp_path / "model.tflite"
    path.write_bytes(content or (folder / "nano.tflite").read_bytes())
    graph = read_graph(folder / "nano.tflite")
    found = audit_ethos_u(path, graph, [None] * len(graph.operators), [U65], timeout_seconds)
    (one,) = found.compilations
    assert one.error.startswith(cause) and one.estimate is None and "\n" not in one.error
    assert list(ethos_u_failures(found, 0.0)) == [f"{U65}: {one.error}"]
    assert f"{U65} not known: {words(one.error)}" in words(format_ethos_u(found))


def test_nothing_is_left_behind(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = set(folder.iterdir()), set(pathlib.Path.cwd().iterdir())
    compile_file(folder / "ends.tflite", U65, 120)
    with pytest.raises(ValueError):
        compile_file(folder / "nano.tflite", U65, 0.1)
    assert not list(tmp_path.iterdir())
    assert (set(folder.iterdir()), set(pathlib.Path.cwd().iterdir())) == before


def test_without_the_package_the_extra_is_named(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *of: None if name == "ethosu" else found(name)
    )
    with pytest.raises(ImportError, match=r"pip install .*\[vela\]'"):
        check_accelerators([U65])
