"""What is in a .tflite file and what it needs: `python -m tflite.audit --model=M.tflite`.

Operators with their multiply-accumulates and bytes, tensor types, memory, the
oldest runtime, what XNNPACK runs, and warnings with what to do about each.
Several `--model` are also set side by side. `--int8` checks that the files
compute in integers only: exit code 1 if one does not.
"""

import json
import pathlib

from absl import flags

from care_keras import cli
from care_keras.files import write_atomically
from care_keras.tflite_file.integer_audit import summarize_errors
from tflite.audit_report import audit_file, to_dict
from tflite.audit_text import format_audit, format_summary

_MODEL = flags.DEFINE_multi_string(
    "model", None, "A .tflite file; give it several times to compare.", required=True
)
_INT8 = flags.DEFINE_bool("int8", False, "Check that the files compute in integers only.")
_OPERATORS = flags.DEFINE_bool("operators", False, "List every operator.")
_TENSORS = flags.DEFINE_bool("tensors", False, "List every tensor with its quantization.")
_OUTPUT_JSON = flags.DEFINE_string("output_json", None, "A file to write all of it to, as JSON.")


def main() -> None:
    """The command."""
    try:
        audits = [audit_file(path) for path in _MODEL.value]
    except ValueError as error:
        raise cli.UserError(str(error)) from error
    if _OUTPUT_JSON.value:
        content = json.dumps([to_dict(audit) for audit in audits], indent=1) + "\n"
        try:
            write_atomically(_OUTPUT_JSON.value, content)
        except OSError as error:
            reason = error.strerror or error
            raise cli.UserError(f"cannot write {_OUTPUT_JSON.value}: {reason}") from error
    for audit in audits:
        print(f"{format_audit(audit, _INT8.value, _OPERATORS.value, _TENSORS.value)}\n")
    if len(audits) > 1:
        print(f"{format_summary(audits)}\n")
    if _OUTPUT_JSON.value:
        print(f"wrote {_OUTPUT_JSON.value}")
    failed = [
        f"{pathlib.Path(audit.path).name} is not integer-only: "
        + summarize_errors(audit.integer_findings)
        for audit in audits
        if not audit.integer_only
    ]
    if _INT8.value and failed:
        raise cli.CheckError("; ".join(failed))


if __name__ == "__main__":
    cli.run(main)
