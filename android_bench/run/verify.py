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
from care_keras.metrics import finite_or_none, wilson_interval
from tflite.inputs.model_inputs import ModelInput

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
    """

    inputs: dict[str, ModelInput]
    pixels: dict[str, np.ndarray]
    labels: np.ndarray | None
    compared: int
    max_codes: int
    source: str


@dataclasses.dataclass(frozen=True)
class Difference:
    """Outputs of a phone against the host's.

    Attributes:
        verdict: `"exact"`, `"within N codes"`, `"within tolerance"` or `"wrong"`.
        largest: Largest difference: codes of an integer output, else units of
            the host's largest output.
        differing: Share of outputs that are not equal.
        worst_image: Image with the largest difference.
    """

    verdict: str
    largest: float
    differing: float
    worst_image: int

    @property
    def passed(self) -> bool:
        """Whether it is right."""
        return self.verdict != "wrong"


def compare_outputs(
    phone: np.ndarray, host: np.ndarray, max_codes: int, float_tolerance: float
) -> Difference:
    """Holds outputs against each other.

    Args:
        phone: `(images, ...)`, as the output tensor holds them.
        host: Likewise.
        max_codes: Largest difference of integers that passes.
        float_tolerance: The same for floats, in units of the host's largest output.
    """
    if phone.shape != host.shape or phone.dtype != host.dtype:
        raise ValueError(
            "The outputs must be alike. "
            f"Received: {phone.dtype}{phone.shape} and {host.dtype}{host.shape}"
        )
    whole = np.issubdtype(host.dtype, np.integer)
    with np.errstate(invalid="ignore"):
        difference = np.abs(phone.astype(np.float64) - host.astype(np.float64))
    same_unusual = (np.isnan(phone) & np.isnan(host)) | (phone == host)
    difference = np.where(same_unusual, 0.0, difference)
    # What is no number on one side only is as wrong as can be.
    difference = np.where(np.isnan(difference), np.inf, difference)
    if not whole:
        finite = np.abs(host[np.isfinite(host)])
        scale = float(finite.max()) if finite.size and finite.max() > 0 else 1.0
        difference = difference / scale
    per_image = difference.reshape(len(host), -1).max(axis=1)
    largest = float(per_image.max())
    if largest == 0.0:
        verdict = "exact"
    elif whole and largest <= max_codes:
        verdict = f"within {max_codes} code{'s' * (max_codes > 1)}"
    elif not whole and largest <= float_tolerance:
        verdict = "within tolerance"
    else:
        verdict = "wrong"
    return Difference(verdict, largest, float(np.mean(difference != 0)), int(np.argmax(per_image)))


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
    model_input = verification.inputs[cell.sha256]
    pixels = verification.pixels[cell.sha256]
    size = (model_input.preprocessing.height, model_input.preprocessing.width)
    # Kernels are compared with the same kernels.
    host = HostModel(session.model_of(cell).path, cell.delegate != "cpu", size)
    session.bring_model(cell, tools)
    theirs, ours = [], []
    for image in pixels:
        content = host.content(image, model_input)
        ours.append(host.run(content))
        theirs.append(host.read(_run_on_phone(session, cell, tools, host, content)))
    theirs, ours = np.stack(theirs), np.stack(ours)
    tolerance = FLOAT_TOLERANCES.get(cell.delegate, HALF_TOLERANCE)
    count = verification.compared
    difference = compare_outputs(theirs[:count], ours[:count], verification.max_codes, tolerance)
    result = {
        "passed": difference.passed,
        "verdict": difference.verdict,
        "compared": len(theirs[:count]),
        # JSON has no infinity.
        "largest_difference": finite_or_none(difference.largest),
        "unit": "codes" if np.issubdtype(ours.dtype, np.integer) else "of the largest output",
        "differing_share": difference.differing,
        "worst_image": difference.worst_image,
        "tolerance": verification.max_codes if ours.dtype.kind in "iu" else tolerance,
    }
    labels = verification.labels
    if labels is not None and len(pixels) > count:
        result |= {
            "labelled": len(pixels),
            "top1": _top1(theirs, labels),
            "host_top1": _top1(ours, labels),
            "top1_interval": wilson_interval(_top1(theirs, labels), len(pixels)),
        }
    return result


def _run_on_phone(session, cell, tools, host, content):
    given, made = f"{tools.folder}/input", f"{tools.folder}/output"
    session.phone.push(np.ascontiguousarray(content).tobytes(), given)
    session.phone.shell(["rm", "-f", made])
    flags = [
        *_RUN_ONCE,
        "--input_layer=images",
        f"--input_layer_shape={','.join(map(str, host.input.shape))}",
        f"--input_layer_value_files=images:{given}",
        f"--output_filepath={made}",
    ]
    # A delegate that ran nothing has no right numbers: the CPU has.
    run = session.run_cell(cell, tools, flags)
    if run.error is not None:
        raise run.error
    if run.status == "failed":
        raise ValueError(run.reason)
    return session.phone.pull(made)


def _top1(outputs, labels):
    return float(np.mean(outputs.reshape(len(outputs), -1).argmax(axis=-1) == labels))


def _say(fields, reason):
    if "verdict" not in fields:
        return f"FAILED: {reason}"
    text = fields["verdict"] if fields["passed"] else "WRONG"
    if fields["largest_difference"]:
        text += f", largest difference {fields['largest_difference']:.3g} {fields['unit']}"
    text += f", {fields['compared']} images"
    if "top1" in fields:
        text += (
            f"; top-1 {fields['top1']:.1%} of {fields['labelled']} images, "
            f"on this machine {fields['host_top1']:.1%}"
        )
    return text
