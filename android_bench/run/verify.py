"""Whether the phone computes what this machine's LiteRT computes from the same input."""

import dataclasses
import functools

import numpy as np

from android_bench.phone.errors import PhoneError
from android_bench.records import of_kind
from android_bench.run.host_model import HostModel
from android_bench.run.one_cell import Tools
from android_bench.run.plan import Cell
from care_keras.litert.model import runtime_version
from care_keras.metrics import (
    Difference,
    absolute_differences,
    finite_or_none,
    wilson_interval,
)
from tflite.evaluate.accuracy import NO_CLASS
from tflite.inputs.chosen_output import chosen_output
from tflite.inputs.records import ModelInput

# Largest difference in units of the host's largest output. GPUs and NPUs compute in half
# precision, whose steps are 2**-11, and sum in an order of their own.
FLOAT_TOLERANCES = {"xnnpack": 1e-4, "cpu": 1e-4}
HALF_TOLERANCE = 3e-2
_RUN_ONCE = ["--num_runs=1", "--min_secs=0", "--warmup_runs=1", "--warmup_min_secs=0"]


@dataclasses.dataclass(frozen=True, eq=False)
class Verification:
    """What is checked.

    Attributes:
        inputs: How images become each model's input, by checksum.
        pixels: uint8 `(images, height, width, 3)` for each model, by checksum.
        labels: Class of each image, or `None`.
        compared: The first so many images are compared output by output.
        max_codes: Largest difference of an integer output that passes.
        source: What the images are, for people.
        classes: The data's class for each class of a model, by checksum; see
            `tflite.evaluate.classes.match_classes`.
        label_match: How they were matched.
        top1_output: Name of the output with the classes, of models that have several.
    """

    inputs: dict[str, ModelInput]
    pixels: dict[str, np.ndarray]
    labels: np.ndarray | None
    compared: int
    max_codes: int
    source: str
    classes: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    label_match: str = "exact"
    top1_output: str | None = None

    def settings(self) -> dict:
        """What decides whether a phone is right, as plain JSON types."""
        return {
            "images": self.source,
            "compared": self.compared,
            "top1": self.labels is not None,
            "top1_output": self.top1_output,
            "label_match": self.label_match,
            "max_codes": self.max_codes,
            "inputs": {
                digest: {"kind": one.kind, **one.preprocessing.to_dict()}
                for digest, one in self.inputs.items()
            },
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class OutputDifference(Difference):
    """One output of a phone against the host's.

    Attributes:
        worst_image: Image with the largest difference.
        max_codes: Largest difference of integers that passes.
        tolerance: The same for floats, in units of the host's largest output.
    """

    worst_image: int
    max_codes: int
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether it is right."""
        return self.within(self.max_codes, self.tolerance)

    @property
    def verdict(self) -> str:
        """`"exact"`, `"within N codes"`, `"within tolerance"` or `"wrong"`."""
        if not self.passed:
            return "wrong"
        if not self.differing:
            return "exact"
        if self.largest_codes is None:
            return "within tolerance"
        return f"within {self.max_codes} code{'s' * (self.max_codes > 1)}"

    @property
    def allowed(self) -> float:
        """What `largest` may be."""
        return self.tolerance if self.largest_codes is None else self.max_codes


def compare_outputs(
    phone: np.ndarray, host: np.ndarray, max_codes: int, float_tolerance: float
) -> OutputDifference:
    """Holds outputs against each other.

    Args:
        phone: `(images, ...)`, as the output tensor holds them.
        host: Likewise.
        max_codes: Largest difference of integers that passes.
        float_tolerance: The same for floats, in units of the host's largest output.
    """
    apart = absolute_differences(host, phone).reshape(len(host), -1)
    return OutputDifference.of(
        [(host, phone)],
        worst_image=int(apart.max(axis=1).argmax()),
        max_codes=max_codes,
        tolerance=float_tolerance,
    )


def verify_tasks(session, verification: Verification) -> list:
    """A task for each model, delegate and number of threads that was not verified before.

    With the threads that are timed: kernels were seen that are wrong with several alone.
    """
    cells = {(cell.sha256, cell.delegate, cell.threads): cell for cell in reversed(session.cells)}
    return [
        functools.partial(_verify, session, cell, verification)
        for key, cell in reversed(cells.items())
        if ("verify", session.phone.serial, *key) not in session.done
    ]


def verified_keys(records: list[dict]) -> set[tuple]:
    """Keys of what needs no verification any more."""
    return {
        ("verify", record["serial"], record["sha256"], record["delegate"], record["threads"])
        for record in of_kind(records, "verify")
        if record["status"] == "ok"
    }


def _verify(session, cell: Cell, verification, tools: Tools):
    fields, lost = {}, None
    try:
        fields = _differences(session, cell, verification, tools)
        status = "ok" if fields["passed"] else "failed"
        reason = None if fields["passed"] else "the phone's outputs are wrong"
    except (PhoneError, ValueError) as error:
        status, reason = "failed", str(error)
        lost = error if isinstance(error, PhoneError) and session.is_lost(error) else None
    session.file.append(
        "verify",
        serial=session.phone.serial,
        **dataclasses.asdict(cell),
        status=status,
        reason=reason,
        images=verification.source,
        host_runtime=f"ai-edge-litert {runtime_version()}",
        **fields,
    )
    session.say(f"verified {cell.outputs_name}: {_say(fields, reason)}")
    return int(status == "failed"), lost


def _differences(session, cell, verification, tools):
    pixels = verification.pixels[cell.sha256]
    # Kernels are compared with the same kernels.
    path = session.model_of(cell).path
    host = HostModel(path, verification.inputs[cell.sha256], cell.delegate != "cpu")
    session.bring_model(cell, tools)
    theirs, ours = {name: [] for name in host.outputs}, {name: [] for name in host.outputs}
    for number, image in enumerate(pixels):
        content = host.content(image, number)
        here = host.first_outputs(content)
        there = host.read(_run_on_phone(session, cell, tools, host, content))
        for name in host.outputs:
            ours[name].append(here[name])
            theirs[name].append(there[name])
    tolerance = FLOAT_TOLERANCES.get(cell.delegate, HALF_TOLERANCE)
    count = verification.compared
    differences = {
        name: compare_outputs(
            np.stack(theirs[name][:count]),
            np.stack(ours[name][:count]),
            verification.max_codes,
            tolerance,
        )
        for name in host.outputs
    }
    worst = max(differences, key=lambda name: _badness(differences[name]))
    difference = differences[worst]
    result = {
        "passed": difference.passed,
        "verdict": difference.verdict,
        "output": worst,
        "outputs": {name: one.verdict for name, one in differences.items()},
        "compared": len(pixels[:count]),
        # JSON has no infinity.
        "largest_difference": finite_or_none(float(difference.largest)),
        "unit": "of the largest output" if difference.largest_codes is None else "codes",
        "differing_share": difference.differing / difference.values,
        "worst_image": difference.worst_image,
        "tolerance": difference.allowed,
    }
    labels = verification.labels
    if labels is not None:
        scores = chosen_output(host.outputs, verification.top1_output, path, "--top1_output")
        about = labels, verification.classes[cell.sha256], host.outputs[scores].is_classes
        top1 = _top1(theirs[scores], *about)
        result |= {
            "labelled": len(pixels),
            "top1": top1,
            "host_top1": _top1(ours[scores], *about),
            "top1_interval": wilson_interval(top1, len(pixels)),
        }
    return result


def _badness(difference):
    """What is largest for the output that decides."""
    share = difference.largest / difference.allowed if difference.allowed else difference.largest
    return not difference.passed, difference.differing > 0, share


def _run_on_phone(session, cell, tools, host, content):
    made, names, files, shapes = f"{tools.folder}/output", [], [], []
    for number, (name, array) in enumerate((name, content[name]) for name in host.inputs):
        if not array.shape:
            raise ValueError(f"benchmark_model cannot be given a scalar. Received: input {name}")
        # Its own names for the inputs, which are told by their places.
        names.append("images" if name == host.image else f"input{number}")
        given = f"{tools.folder}/input{number or ''}"
        session.phone.push(np.ascontiguousarray(array).tobytes(), given)
        files.append(f"{names[-1]}:{given}")
        shapes.append(",".join(map(str, array.shape)))
    session.phone.shell(["rm", "-f", made])
    flags = [
        *_RUN_ONCE,
        f"--input_layer={','.join(names)}",
        f"--input_layer_shape={':'.join(shapes)}",
        f"--input_layer_value_files={','.join(files)}",
        f"--output_filepath={made}",
    ]
    # A delegate that ran nothing has no right numbers: the CPU has.
    run = session.run_cell(cell, tools, flags)
    if run.error is not None:
        raise run.error
    if run.status == "failed":
        raise ValueError(run.reason)
    return session.phone.pull(made)


def _top1(outputs, labels, classes, gives_class):
    """Share of the images whose class a model finds, by its scores or by itself."""
    picked = [int(output.ravel()[0] if gives_class else output.argmax()) for output in outputs]
    found = [classes[one] if 0 <= one < len(classes) else NO_CLASS for one in picked]
    return float(np.mean(np.array(found) == labels))


def _say(fields, reason):
    if "verdict" not in fields:
        return f"FAILED: {reason}"
    text = fields["verdict"] if fields["passed"] else "WRONG"
    if len(fields["outputs"]) > 1:
        text += f" in {fields['output']}" if fields["verdict"] != "exact" else " in all outputs"
    if fields["largest_difference"]:
        text += f", largest difference {fields['largest_difference']:.3g} {fields['unit']}"
    text += f", {fields['compared']} images"
    if "top1" in fields:
        text += (
            f"; top-1 {fields['top1']:.1%} of {fields['labelled']} images, "
            f"on this machine {fields['host_top1']:.1%}"
        )
    return text
