import json
import random

import pytest

from care_keras.data.overrides import InputOverrides
from care_keras.litert.model import runtime_version
from tests.care_keras.deploy.test_lift import transposed_convolution
from tests.care_keras.tflite_file.files import function_file, model_file
from tests.tflite.commands import run_command
from tflite.audit import report as report_module
from tflite.audit.half_precision.check import check_range
from tflite.audit.inputs import choose_inputs
from tflite.audit.report import audit_file, operator_totals, refusals, to_dict, type_totals
from tflite.audit.text import format_audit, format_findings, format_summary
from tflite.audit.xnnpack import Delegation
from tflite.audit.xnnpack_rules import likely_reason

NOTHING = InputOverrides()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Paths of an integer-only file, one that is not, and one that no runtime here opens."""
    folder = tmp_path_factory.mktemp("audit")
    contents = {
        "good": model_file("mobilenet_int8"),
        "plain": model_file("nano_int8"),
        "flex": function_file("flex"),
        "open": function_file("open"),
    }
    for name, content in contents.items():
        (folder / f"{name}.tflite").write_bytes(content)
    return {name: folder / f"{name}.tflite" for name in contents}


@pytest.fixture(scope="module")
def audits(files):
    return {name: audit_file(path) for name, path in files.items()}


def test_totals_add_up(audits):
    audit = audits["plain"]
    totals = operator_totals(audit)
    assert sum(total.count for total in totals) == len(audit.graph.operators)
    assert sum(total.macs for total in totals) == audit.macs
    assert sum(total.delegated for total in totals) == len(audit.delegation.delegated)
    assert totals[0].name == "CONV_2D"
    assert sum(count for _, count, _ in refusals(audit)) == len(audit.delegation.refused)
    types = {total.dtype: total for total in type_totals(audit)}
    assert set(types) == {"float32", "int8", "int32"}
    assert sum(t.constants + t.activations for t in types.values()) == len(audit.graph.tensors)
    # Weights have a scale per channel, and so have their biases.
    assert types["int8"].per_channel > 50 and types["int32"].per_channel > 50


def test_constants_that_share_a_buffer_count_once(audits):
    audit = audits["plain"]
    each = sum(total.constant_bytes for total in type_totals(audit))
    assert 0 < audit.weight_bytes <= each < audit.graph.size_bytes


def test_json_has_all_of_it(audits):
    content = json.loads(json.dumps(to_dict(audits["plain"])))
    assert content["integer_only"] is False and content["macs"] == audits["plain"].macs
    assert len(content["operators"]) == len(audits["plain"].graph.operators)
    assert len(content["tensors"]) == len(audits["plain"].graph.tensors)
    assert all(finding["reason"] for finding in content["integer_findings"] + content["warnings"])
    conv = next(op for op in content["operators"] if op["name"] == "CONV_2D")
    assert conv["options"]["padding"] == "VALID" and conv["delegated"] is True
    refused = [op for op in content["operators"] if op["delegated"] is False]
    assert refused and all(op["likely_reason"] for op in refused)
    assert content["xnnpack"]["delegated"] + len(refused) == len(content["operators"])


def test_text_of_a_good_file(audits):
    text = format_audit(audits["good"], integer_only=True)
    assert "integer-only    yes" in text and text.endswith("no warnings")
    assert "oldest runtime  TensorFlow Lite 1.14.0" in text
    assert "runs 64 of 65 operators, in 1 partition; not these:" in text
    assert "XNNPACK has SOFTMAX in float only, not in int8" in text


def test_text_of_a_plain_file(audits):
    text = format_audit(audits["plain"], operators=True, tensors=True)
    assert "DIV on int8: runtimes up to 2.14 have no kernel for it" in text
    assert "warning: depthwise-taps, 8x" in text and "  and 5 more" in text
    assert max(map(len, format_findings(audits["plain"].warnings).splitlines())) <= 100
    last = audits["plain"].graph.operators[-1]
    assert f"{last.index}  {last.name}" in text
    assert "scales" in text and "on dimension 3" in text


def test_text_of_a_file_that_does_not_open(audits):
    text = format_audit(audits["flex"])
    assert "XNNPACK: not known, as LiteRT cannot open the model. Received: " in text
    assert "not known for CUSTOM:FlexMatrixInverse version 1" in text
    assert "MACs            not known (-)" in text
    assert to_dict(audits["flex"])["xnnpack"]["delegated"] is None


def test_custom_operators_are_asked_of_the_runtime(tmp_path, audits):
    path = tmp_path / "mediapipe.tflite"
    path.write_bytes(transposed_convolution())
    audit = audit_file(path)
    (warning,) = audit.warnings
    assert warning.message == (
        "custom operator Convolution2DTransposeBias, which XNNPACK of LiteRT "
        f"{runtime_version()} runs"
    )
    assert audit.macs == audit.graph.inputs[0].elements * 2 * 2 * 2 and audit.macs_complete
    held = check_range(path, audit.graph, choose_inputs(path, audit.graph, "bundled", 2, NOTHING))
    assert held.holds and held.tensors == 1
    flex = next(one for one in audits["flex"].warnings if one.rule == "builtin-operators")
    assert flex.message.endswith(f"which LiteRT {runtime_version()} does not run here")


def test_open_sizes_are_shown_as_such(audits):
    assert "float32 (?, 4, 4, 4)" in format_audit(audits["open"])


def test_summary_has_one_row_each(audits):
    lines = format_summary(list(audits.values())).splitlines()
    assert len(lines) == 2 + len(audits)
    assert lines[2].startswith("good.tflite") and " yes " in lines[2] and "98.5%" in lines[2]
    assert lines[3].startswith("plain.tflite") and " no " in lines[3]


def test_damaged_files_are_audited_or_refused(tmp_path, monkeypatch):
    """Whatever the reader lets pass, no part of the report breaks on."""

    def reasons_only(path, graph):
        refused = {op.index: likely_reason(graph, op) for op in graph.operators}
        return Delegation(frozenset(), 0, refused)

    # The runtime itself is asked in a process of its own, which takes its time.
    monkeypatch.setattr(report_module, "delegation", reasons_only)
    path, rng, audited = tmp_path / "damaged.tflite", random.Random(0), 0
    for _ in range(150):
        damaged = bytearray(function_file("small"))
        for _ in range(rng.choice([1, 2, 4, 8])):
            damaged[rng.randrange(8, len(damaged))] = rng.choice([0, 1, 2, 255, rng.randrange(256)])
        path.write_bytes(damaged)
        try:
            audit = audit_file(path)
        except ValueError as error:
            assert str(error).endswith(f"Received: {path}")
            continue
        audited += 1
        assert json.dumps(to_dict(audit)) and format_summary([audit])
        assert format_audit(audit, integer_only=True, operators=True, tensors=True)
    assert audited > 30


def command(*flags):
    return run_command("audit", *flags, CUDA_VISIBLE_DEVICES="-1")


def test_command_fails_where_the_check_does_not_hold(files, tmp_path):
    output = tmp_path / "audit.json"
    done = command(
        f"--model={files['good']}", f"--model={files['plain']}", "--int8", f"--output_json={output}"
    )
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: plain.tflite is not integer-only: ") and "good" not in last
    assert "error: no-float-elu, 12x" in done.stdout and "model" in done.stdout
    written = json.loads(output.read_text())
    assert [entry["integer_only"] for entry in written] == [True, False]


def test_command_tells_of_portable_files_what_a_runtime_may_refuse(files):
    """Steps for each channel are no fault: a note, and only where other runtimes are meant."""
    done = command(f"--model={files['good']}", "--portable")
    assert done.returncode == 0
    (note,) = [line for line in done.stdout.splitlines() if line.startswith("note: ")]
    assert note.startswith("note: good.tflite: ") and "a step for each channel" in note
    assert "note: " not in command(f"--model={files['good']}").stdout


def test_command_says_in_one_line_what_it_cannot_read(tmp_path):
    done = command(f"--model={tmp_path / 'missing.tflite'}")
    assert done.returncode == 2 and not done.stdout
    assert done.stderr.splitlines()[-1] == (
        "error: The file cannot be read: No such file or directory. "
        f"Received: {tmp_path / 'missing.tflite'}"
    )
