"""What the zoo's table says of one model, taken with the commands that a user has."""

import dataclasses
import functools
import json
import os
import pathlib
import subprocess
import tempfile
from collections.abc import Callable, Mapping

import keras
import numpy as np

from care_keras.console.launched import own_module
from care_keras.convert.check import classes_output, file_outputs, keras_outputs, shaped_like
from care_keras.convert.conversion import convert_model, deploy_form, int8_form
from care_keras.convert.examples import Examples
from care_keras.convert.images import open_calibration_and_held_out, read_pixels
from care_keras.convert.in_child import convert_in_child
from care_keras.data.preprocessing import normalize
from care_keras.data.sidecar import sidecar_path
from care_keras.files import write_atomically
from care_keras.litert.file import LiteRTFile
from care_keras.loading import load_any
from care_keras.metrics import relative_difference, top1_agreement
from care_keras.quantization import calibrate, freeze, int8_qat, quantize
from care_keras.reference import IntegerModel
from care_keras.tflite_file import read_graph
from care_keras.tflite_file.integer_audit import audit_integer_only
from tflite.benchmark.engine import RoundPlan
from tflite.benchmark.latency import make_candidates, measure
from tflite.benchmark.litert_engine import LiteRTEngine
from tflite.inputs.records import read_sidecar
from tflite.stress.run import stress
from tflite.zoo import litert_quantizer
from tflite.zoo.worst_snr import WorstSNR


@dataclasses.dataclass(frozen=True)
class Plan:
    """How much of each is measured.

    Attributes:
        samples: Calibration images.
        photos: Held-out images that SNR and agreement are of.
        odd_inputs: Odd inputs that the int8 file runs on.
        reference_images: Images that NumPy and LiteRT compute.
        rounds: Of latency; 0 for none.
        round_seconds: Of one file in one round.
        qat: Whether a step of quantization-aware training is taken.
        mean, std: How models that do not say it take images, as flags have it.
        imports: Modules of the user's own that register layers.
    """

    samples: int = 32
    photos: int = 50
    odd_inputs: int = 2000
    reference_images: int = 20
    rounds: int = 7
    round_seconds: float = 0.3
    qat: bool = True
    mean: str | None = None
    std: str | None = None
    imports: tuple[str, ...] = ()


class Measurement:
    """One model, and its row.

    Args:
        path: Its `.keras` file, or the `.tflite` file of someone else.
        data: Images for all of it.
        folder: Where its files go.
        plan: How much is measured.
    """

    def __init__(self, path: pathlib.Path, data: str, folder: pathlib.Path, plan: Plan):
        self._path, self._data, self._folder, self._plan = path, data, folder, plan
        self.row: dict = {}

    def steps(self) -> dict[str, Callable[[], None]]:
        """What is measured, by a name for people; each adds to `row`."""
        steps = {
            "float32": self._float32,
            "int8": self._int8,
            "integers": self._integers,
            "odd inputs": self._odd_inputs,
            "min-max": self._min_max,
            "TensorFlow's files": self._tensorflow,
        }
        if self._plan.qat:
            steps["training"] = self._qat
        if self._plan.rounds:
            steps["latency"] = self._latency
        return steps

    @functools.cached_property
    def _model(self):
        return load_any(str(self._path))

    @functools.cached_property
    def _record(self):
        """How the model takes images, as the float32 file's JSON has it."""
        return read_sidecar(self._folder / "float32.tflite").preprocessing

    @functools.cached_property
    def _sources(self):
        """Images to calibrate with and others to judge by, those that `convert` draws."""
        plan = self._plan
        return open_calibration_and_held_out(self._data, None, plan.samples, plan.photos, 0)[:2]

    @functools.cached_property
    def _pixels(self):
        return self._read(self._sources[1])

    @functools.cached_property
    def _expected(self):
        """What the model itself says of the photos, by the names of outputs."""
        if self._is_file:
            return self._outputs(self._path, self._record)
        return keras_outputs(self._model, Examples.of_images(self._pixels, self._record))

    @property
    def _is_told(self):
        return self._plan.mean is not None and not getattr(self._model, "preprocessing", None)

    @property
    def _is_file(self):
        return self._path.suffix == ".tflite"

    def _convert(self, precision):
        """The file and its JSON, by the command."""
        output = self._folder / f"{precision}.tflite"
        command = [
            *own_module("care_keras.convert"),
            *(f"--precision={precision}", "--input=float", f"--model={self._path}"),
            *(f"--calibration={self._data}", f"--samples={self._plan.samples}"),
            *(f"--check_samples={self._plan.photos}", f"--output={output}"),
            *(f"--{name}={getattr(self._plan, name)}" for name in ("mean", "std") if self._is_told),
            *(f"--import={name}" for name in self._plan.imports),
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["no reason given"]
            raise ValueError(lines[-1].removeprefix("error: "))
        return output, json.loads(sidecar_path(output).read_text())

    def _float32(self):
        path, _ = self._convert("float32")
        self.row["parameters"] = self._model.count_params()
        outputs = shaped_like(self._outputs(path, self._record), self._expected)
        self.row["float32_error"] = max(
            relative_difference(one, outputs[name]) for name, one in self._expected.items()
        )

    def _outputs(self, path, record):
        """Outputs for the photos of a file that takes them as the record says."""
        examples = Examples.of_images(self._pixels, record)
        return file_outputs(LiteRTFile(path), path.stem, "float", examples)

    def _read(self, source):
        return read_pixels(source, self._record, f"reading {source.name}")[0]

    def _int8(self):
        path, about = self._convert("int8")
        findings = audit_integer_only(read_graph(path))
        check = about["check"]["files"][-1]
        self.row |= {
            "integer_only": not [one for one in findings if one.severity == "error"],
            "int8_snr_db": check["snr_db"],
            "int8_agreement": check["agreement"],
            "seconds": about["conversion_seconds"],
            "peak_memory_gb": about["peak_memory_bytes"] / 1e9,
        }

    def _integers(self):
        """Codes of the output that NumPy and LiteRT do not share."""
        path = self._folder / "int8.tflite"
        inputs = normalize(self._pixels[: self._plan.reference_images], self._record)
        reference, file = IntegerModel(path), LiteRTFile(path)
        codes = reference.input.quantize(inputs)
        found = reference.run(codes)
        if not isinstance(found, Mapping):
            found = dict.fromkeys(file.outputs, found)
        runs = [file.run(one[None]) for one in codes]
        self.row["codes_that_differ"] = sum(
            int(np.sum(np.concatenate([run[name] for run in runs]) != found[name]))
            for name in file.outputs
        )

    def _odd_inputs(self):
        result = stress(self._folder / "int8.tflite", self._data, self._plan.odd_inputs)
        self.row["odd_inputs"] = sum(result.inputs.values())
        self.row["failures"] = sum(result.failures.values())

    def _min_max(self):
        """litert-quantizer's static int8 of the same float file, from the same images."""
        if not litert_quantizer.is_installed():
            return
        record, float_file = self._record, self._folder / "float32.tflite"
        images = normalize(self._calibration_images, record)
        path, int8_file = self._folder / "min_max.tflite", self._folder / "int8.tflite"
        try:
            litert_quantizer.quantize(float_file, images, path)
            outputs = shaped_like(self._outputs(path, record), self._expected)
        except ValueError as error:
            self.row["min_max_error"] = str(error)[:200]
            return
        ours = self._outputs(int8_file, read_sidecar(int8_file).preprocessing)
        theirs = WorstSNR(outputs, self._expected)
        self.row["min_max_snr_db"] = theirs.value()
        gain = WorstSNR(shaped_like(ours, self._expected), self._expected).interval_above(theirs)
        self.row["int8_gain_db"] = gain
        scores = classes_output(self._expected)
        if scores:
            agreement = top1_agreement(outputs[scores], self._expected[scores])
            self.row["min_max_agreement"] = float(agreement)

    @functools.cached_property
    def _calibration_images(self):
        return self._read(self._sources[0])

    def _tensorflow(self):
        """The files that TensorFlow's converter makes; a file of someone else is one."""
        if self._is_file:
            return
        images = list(self._calibration_images)
        for precision in ("float32", "int8"):
            calibration = images if precision == "int8" else None
            try:
                content = convert_in_child(
                    self._model, self._record, precision, "float", 1, calibration
                )
                write_atomically(self._theirs(precision), content)
            except ValueError as error:
                self.row[f"tensorflow_{precision}_error"] = str(error)[:200]

    def _theirs(self, precision):
        if self._is_file:
            return self._path if precision == "float32" else self._folder / "none"
        return self._folder / f"tensorflow_{precision}.tflite"

    def _latency(self):
        """Ours in units of TensorFlow's, interleaved."""
        for precision in ("float32", "int8"):
            theirs = self._theirs(precision)
            if not theirs.is_file():
                continue
            try:
                ratio = self._ratio([theirs, self._folder / f"{precision}.tflite"])
            except ValueError as error:
                self.row[f"{precision}_latency_error"] = str(error)[:200]
                continue
            self.row[f"{precision}_latency_ratio"] = [ratio.value, ratio.low, ratio.high]

    def _ratio(self, paths):
        candidates = make_candidates(paths, [1], {})
        plan = RoundPlan(seconds=self._plan.round_seconds)
        _, ours = measure(candidates, LiteRTEngine(seed=0), plan, self._plan.rounds)
        return ours.ratio

    def _qat(self):
        """A step of training of the quantized form, saved, loaded and converted."""
        config = int8_qat()
        deployed = int8_form(deploy_form(self._model, self._record, "int8"), self._record)
        form = quantize(deployed, config)
        inputs = normalize(self._pixels[:4], form.preprocessing)
        calibrate(form, [inputs], config)
        # One step is not worth a compiler's minutes.
        form.compile(keras.optimizers.Adam(1e-5), "mse", jit_compile=False)
        before = [np.array(weight) for weight in form.trainable_variables]
        outputs = [one[:4] for one in self._expected.values()]
        loss = form.train_on_batch(inputs, outputs if len(outputs) > 1 else outputs[0])
        moved = [
            not np.array_equal(one, np.array(weight))
            for one, weight in zip(before, form.trainable_variables, strict=True)
        ]
        freeze(form)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "form.keras")
            form.save(path)
            loaded = keras.models.load_model(path, compile=False)
        content = convert_model(loaded, form.preprocessing, "int8").content
        # Of several outputs, a loss of each as well.
        is_finite = np.all(np.isfinite(loss))
        self.row["trains"] = bool(is_finite and np.mean(moved) > 0.5 and content)
