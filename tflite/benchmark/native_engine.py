"""benchmark_model as an engine, TensorFlow Lite's or LiteRT's."""

import hashlib
import os
import pathlib
import shutil
import tempfile

import numpy as np

from care_keras.data.noise import random_input
from tflite.benchmark.engine import ONE_RUN, DelegateSummary, ModelRun, Round, RoundPlan
from tflite.benchmark.litert_engine import LiteRTEngine
from tflite.benchmark_tool.family import ask
from tflite.benchmark_tool.log import BenchmarkLog, parse_log
from tflite.benchmark_tool.messages import failure_reason
from tflite.benchmark_tool.profile import OpProfile
from tflite.child import program


class BenchmarkModelEngine:
    """benchmark_model, which is asked what it is. LiteRT in Python looks at the files first.

    Args:
        binary: The program, of either family.
        xnnpack: Whether XNNPACK is applied.
        seed: Seed of the random inputs, which it is given as files.
        timeout_seconds: Time after which a process is stopped.

    Raises:
        ValueError: If there is no such program, it is no benchmark_model, or one that
            cannot switch XNNPACK off where it shall be.
    """

    def __init__(
        self,
        binary: str | os.PathLike,
        xnnpack: bool = True,
        seed: int = 0,
        timeout_seconds: float = 300,
    ):
        found = shutil.which(os.fspath(binary))
        if found is None:
            raise ValueError(f"There is no such program that can be run. Received: {binary}")
        self._binary = pathlib.Path(found).absolute()
        self._program = ask(self._binary, timeout_seconds)
        # Explicitly, as TensorFlow Lite's then says how much of the graph XNNPACK runs.
        self._kernels = self._program.delegate_flags("xnnpack" if xnnpack else "cpu", {})
        self._seed = seed
        self._timeout_seconds = timeout_seconds
        self._inspector = LiteRTEngine(xnnpack, seed, timeout_seconds)
        self._tensors: dict[pathlib.Path, dict] = {}

    @property
    def name(self) -> str:
        """`"benchmark_model"`, or `"litert_benchmark_model"`: times of one are not the other's."""
        return {"tensorflow": "benchmark_model", "litert": "litert_benchmark_model"}[
            self._program.family.key
        ]

    def versions(self) -> dict[str, str]:
        # It does not say its version; the sum tells two builds apart.
        digest = hashlib.sha256(self._binary.read_bytes()).hexdigest()
        return {"benchmark_model": f"sha256 {digest}", "program": self._program.describe()}

    def check(self, model: ModelRun) -> Round:
        # Watching the peak takes a thread of its own: not in a timed round.
        return self.run_round(model, ONE_RUN, "--report_peak_memory_footprint=true")

    def run_round(self, model: ModelRun, plan: RoundPlan, *flags: str) -> Round:
        log = self._run(
            model,
            *flags,
            f"--num_runs={plan.runs}",
            f"--min_secs={plan.seconds:g}",
            f"--warmup_runs={plan.warmup_runs}",
            f"--warmup_min_secs={plan.warmup_seconds:g}",
        )
        regular = log.regular
        if not regular.count or log.first_inference_us is None:
            raise ValueError(f"benchmark_model timed no inference. Received: {model.path}")
        return Round(
            load_ms=log.init_us / 1e3,
            first_inference_ms=log.first_inference_us / 1e3,
            inferences=regular.count,
            latency_min_ms=regular.min_us / 1e3,
            latency_mean_ms=regular.avg_us / 1e3,
            latency_median_ms=_milliseconds(regular.median_us),
            latency_p95_ms=_milliseconds(regular.p95_us),
            memory_increase_mib=log.memory_overall_mib,
            peak_memory_mib=log.peak_memory_mib,
            delegate=_summary_of_log(log),
        )

    def outputs(self, model: ModelRun) -> list[np.ndarray] | None:
        if not self._program.family.feeds:
            return None
        tensors = self._inspect(model)["outputs"]
        dtypes = [np.dtype(tensor["dtype"]) for tensor in tensors]
        # A scalar input is one that it fills by itself, each time with other values.
        fed = all(tensor["shape"] for tensor in self._inspect(model)["inputs"])
        if not fed or any(dtype.kind in "SO" for dtype in dtypes):
            return None
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "outputs"
            self._run(model, f"--output_filepath={path}", "--num_runs=1", "--min_secs=0")
            # A release without that flag writes nothing.
            content = path.read_bytes() if path.is_file() else b""
        sizes = [int(np.prod(tensor["shape"])) for tensor in tensors]
        ends = np.cumsum([size * dtype.itemsize for size, dtype in zip(sizes, dtypes, strict=True)])
        if len(content) != ends[-1]:
            return None
        parts = np.split(np.frombuffer(content, np.uint8), ends[:-1])
        return [
            part.view(dtype).reshape(tensor["shape"])
            for part, dtype, tensor in zip(parts, dtypes, tensors, strict=True)
        ]

    def profile(self, model: ModelRun) -> OpProfile | None:
        log = self._run(model, self._program.family.profile)
        regular = [part for part in log.profile if part.phase == "regular"]
        return regular[0] if regular else None

    def _run(self, model, *flags) -> BenchmarkLog:
        inputs = self._inspect(model)["inputs"]
        with tempfile.TemporaryDirectory() as folder:
            finished = program.run(
                [
                    self._binary,
                    f"--graph={model.path}",
                    f"--num_threads={model.threads}",
                    *self._kernels,
                    *self._input_flags(inputs, pathlib.Path(folder)),
                    *flags,
                ],
                self._timeout_seconds,
                fresh_rusage=True,
            )
        if finished.signal_name:
            line = program.last_line(finished.output)
            raise ValueError(
                f"benchmark_model {finished.ending}. Received: {model.path} (last line {line!r})"
            )
        if finished.exit_code:
            raise ValueError(
                f"benchmark_model failed with exit code {finished.exit_code}. "
                f"Received: {model.path} ({failure_reason(finished.output)})"
            )
        return parse_log(finished.output)

    def _inspect(self, model):
        if model.path not in self._tensors:
            self._tensors[model.path] = self._inspector.ask(model, ONE_RUN)
        return self._tensors[model.path]

    def _input_flags(self, inputs, folder):
        """Flags that give it the values that LiteRT in Python gets for this seed."""
        if not self._program.family.feeds or not all(tensor["shape"] for tensor in inputs):
            # There is no way to write a scalar's shape: it fills the inputs by itself.
            return []
        generator = np.random.default_rng(self._seed)
        files = []
        for number, tensor in enumerate(inputs):
            dtype = np.dtype(tensor["dtype"])
            values = random_input(tuple(tensor["shape"]), dtype, generator)
            path = folder / f"input{number}"
            if dtype.kind in "SO":
                path.write_bytes(b"".join(word + b"\0" for word in values.ravel()))
            else:
                path.write_bytes(np.ascontiguousarray(values).tobytes())
            files.append(path)
        # Its own names for them, as a tensor's may hold the separators; it warns of that.
        names = [f"input{number}" for number in range(len(inputs))]
        shapes = [",".join(map(str, tensor["shape"])) for tensor in inputs]
        values = [f"{name}:{path}" for name, path in zip(names, files, strict=True)]
        return [
            f"--input_layer={','.join(names)}",
            f"--input_layer_shape={':'.join(shapes)}",
            f"--input_layer_value_files={','.join(values)}",
        ]


def _milliseconds(value_us):
    return None if value_us is None else value_us / 1e3


def _summary_of_log(log):
    use = next((use for use in log.delegates if use.name == "XNNPACK"), None)
    if use is None:
        return DelegateSummary(coverage="none", partitions=0)
    return DelegateSummary(use.coverage, use.kernels, use.delegated_nodes, use.nodes)
