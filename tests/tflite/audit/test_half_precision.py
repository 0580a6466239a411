"""What the audit says of half precision: files that it holds, that it does not, that do not run."""

import json

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from care_keras.tflite_file import read_graph
from care_keras.tflite_file.reduced_precision import allow_float16
from care_keras.tflite_file.writer import Writer
from tests.care_keras.tflite_file.files import function_file, model_file
from tests.tflite.commands import run_command
from tflite.audit.half_precision.check import check_range
from tflite.audit.half_precision.text import format_range, range_failure
from tflite.audit.inputs import AuditInputs


def products(*factors):
    """A float file that multiplies two numbers by each factor in turn."""
    writer = Writer("test")
    x = writer.tensor("x", (1, 2), np.float32)
    given = x
    for number, factor in enumerate(factors):
        constant = writer.constant(f"factor{number}", np.full((1, 2), factor, np.float32))
        output = writer.tensor(f"product{number}", (1, 2), np.float32)
        x = writer.operator("MUL", 1, [x, constant], output, schema.MulOptionsT())
    return writer.finish({"x": given}, {"outputs": x})


def found(content, tmp_path, values=((1.0, -2.0), (3.0, 0.5))):
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    graph = read_graph(path)
    arrays = {graph.inputs[0].index: np.float32(values)[:, None]}
    return check_range(path, graph, AuditInputs(arrays, "2 inputs of the test", False))


def test_a_file_that_it_holds(tmp_path):
    result = found(products(100.0, 200.0, 0.001), tmp_path)
    assert result.holds and result.tensors == 3 and not result.beyond
    assert result.largest == ("product1", 60000.0) and range_failure(result) is None
    text = " ".join(format_range(result).split())
    assert "holds the range. The largest of 3 tensors is product1, 6e+04 of" in text
    assert "on 2 inputs of the test" in text and "metadata" not in text
    assert "the file's metadata allow it" in format_range(
        found(allow_float16(products(1.0)), tmp_path)
    )


def test_what_lies_beyond_is_named_the_largest_first(tmp_path):
    result = found(products(30000.0, 2.0, 0.001, 0.001), tmp_path)
    assert result.holds is False
    assert result.beyond == (("product1", 180000.0), ("product0", 90000.0))
    assert range_failure(result) == "2 of 4 tensors go beyond 65,504 (product1 1.8e+05)"
    text = " ".join(format_range(result).split())
    assert "2 of 4 tensors go beyond 65,504, the most that it holds, on 2 inputs" in text
    assert "beyond it: product1 1.8e+05, product0 9e+04" in text
    assert json.loads(json.dumps(result.to_dict()))["beyond"][0] == {
        "tensor": "product1",
        "largest": 180000.0,
    }


def test_half_precision_ends_where_it_says(tmp_path):
    assert found(products(65504.0), tmp_path, [(1.0, -1.0)]).holds
    assert found(products(65505.0), tmp_path, [(1.0, -1.0)]).holds is False


def functions(*names):
    """A float file that takes functions of two numbers in turn."""
    writer = Writer("test")
    given = x = writer.tensor("x", (1, 2), np.float32)
    for name in names:
        output = writer.tensor(name.lower(), (1, 2), np.float32)
        options = getattr(schema, f"{name.title()}OptionsT", lambda: None)()
        x = writer.operator(name, 1, [x], output, options)
    return writer.finish({"x": given}, {"outputs": x})


def test_what_float32_does_not_hold_either_is_beyond(tmp_path):
    """And no more than that: infinity that is passed on is of another operator."""
    result = found(functions("EXP", "NEG"), tmp_path, [(1.0, 1000.0)])
    ((name, value),) = result.beyond
    assert name == "exp" and value == np.finfo(np.float32).max
    assert json.loads(json.dumps(result.to_dict()))["holds"] is False
    assert range_failure(result).startswith("1 of 2 tensors goes beyond 65,504 (exp 3.4e+38)")


def test_the_logarithm_of_zero_may_be_meant(tmp_path):
    assert found(functions("LOG", "EXP"), tmp_path, [(0.0, 1.0)]).holds


def test_what_does_not_run_is_not_known(tmp_path):
    path = tmp_path / "flex.tflite"
    path.write_bytes(function_file("flex"))
    graph = read_graph(path)
    arrays = {one.index: np.zeros((1, *one.shape), np.float32) for one in graph.inputs}
    result = check_range(path, graph, AuditInputs(arrays, "zeros", False))
    assert result.holds is None and "not known whether it holds the range" in format_range(result)
    assert range_failure(result).startswith("not known: LiteRT cannot open the model.")
    result = check_range(path, graph, ValueError("no such input"))
    assert result.error == "no such input"


@pytest.mark.parametrize(("name", "said"), [("nano_float32", True), ("mobilenet_int8", False)])
def test_the_command_says_it_of_every_float_file(tmp_path, name, said):
    path, output = tmp_path / "model.tflite", tmp_path / "audit.json"
    path.write_bytes(model_file(name))
    done = run_command("audit", f"--model={path}", f"--output_json={output}", "--samples=2")
    assert done.returncode == 0, done.stderr
    assert ("half precision (float16 arithmetic): " in done.stdout) is said
    (record,) = json.loads(output.read_text())
    assert (record["half_precision"] is not None) is said
    done = run_command("audit", f"--model={path}", "--fp16", "--samples=2")
    assert done.returncode == (0 if said else 1)
    if not said:
        assert done.stderr.splitlines()[-1] == (
            "error: half precision does not hold model.tflite: it computes in integers"
        )


def test_a_folder_that_is_missing_is_the_users_mistake(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(model_file("nano_float32"))
    done = run_command("audit", f"--model={path}", f"--data={tmp_path}/none", "--std=1,1,1")
    assert done.returncode == 2 and "Traceback" not in done.stderr
