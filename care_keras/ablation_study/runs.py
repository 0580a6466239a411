"""The runs of a study: which there are, and one process after the other for them."""

import contextlib
import dataclasses
import pathlib
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from care_keras.console.cli import UserError
from care_keras.console.progress import say
from care_keras.files import parse_json
from care_keras.json_shape import misfit, number, text, whole
from care_keras.locks import try_lock
from care_keras.models import ABLATIONS
from care_keras.models.config import BASE_CONFIGS
from care_keras.training.config import TrainingConfig
from care_keras.training.result import command_of
from care_keras.training.run.folder import RunFolder

BASE = "base"
VARIANTS = (BASE, *ABLATIONS)
# What tables are made of.
_RESULT = {"top1": number, "evaluated_on": text, "images": whole}
# Exit code of a command that was used wrongly.
_BAD_USE = 2


@dataclasses.dataclass(frozen=True)
class Run:
    """One variant with one seed.

    Attributes:
        variant: `"base"` or one of `ABLATIONS`.
        config: Its training, in a folder of its own.
    """

    variant: str
    config: TrainingConfig

    def __str__(self) -> str:
        return f"{self.variant}, seed {self.config.seed}"

    @property
    def finished(self) -> bool:
        return read_result(self.config.run_dir) is not None


def model_name(base: str, variant: str) -> str:
    """What `--model` calls a variant of a base model."""
    return base if variant == BASE else f"{base}_{variant}"


def plan_runs(
    config: TrainingConfig, variants: Sequence[str], seeds: Sequence[int], folder: pathlib.Path
) -> list[Run]:
    """All runs of a study, seed by seed, so that variants can be compared early.

    Args:
        config: What the runs have in common; its model is the base model.
        variants: Some of `VARIANTS`.
        seeds: A run of each variant for each.
        folder: Its subfolders `VARIANT-seedN` are those of the runs.

    Raises:
        UserError: If a variant or the base model is unknown or named twice, or
            a folder holds a run with other settings.
    """
    for name, values, known in (("variants", variants, VARIANTS), ("seeds", seeds, None)):
        if not values or len(set(values)) < len(values):
            raise UserError(f"--{name} must name at least one, and each once")
        unknown = [value for value in values if known and value not in known]
        if unknown:
            raise UserError(f"--{name} must be of {', '.join(known)}, not {unknown[0]!r}")
    if config.model not in BASE_CONFIGS:
        raise UserError(
            f"--model must be the base model, one of {', '.join(BASE_CONFIGS)}, "
            f"not {config.model!r}"
        )
    runs = [
        Run(
            variant,
            dataclasses.replace(
                config,
                model=model_name(config.model, variant),
                seed=seed,
                run_dir=folder / f"{variant}-seed{seed}",
            ),
        )
        for seed in seeds
        for variant in variants
    ]
    for run in runs:
        RunFolder(run.config.run_dir, writes=False).prepare(run.config.to_dict())
    return runs


def read_result(run_dir: pathlib.Path) -> dict | None:
    """What the trainer wrote at the end of a run; `None` if it has not, or not whole."""
    with contextlib.suppress(OSError, ValueError):
        result = parse_json((run_dir / "result.json").read_text())
        if misfit(result, _RESULT) is None and 0 <= result["top1"] <= 1:
            return result
    return None


def run_all(
    runs: Sequence[Run],
    folder: pathlib.Path,
    after_each: Callable[[], None],
    trainer: Sequence[str] = (sys.executable, "-m", "care_keras.train"),
) -> list[Run]:
    """Trains what is not finished; each run goes on where it was stopped.

    A run that fails does not keep the others from theirs, unless no run has
    come to its end and the flags are to blame.

    Args:
        runs: From `plan_runs`.
        folder: That of the study; one process at a time trains in it.
        after_each: Called after each run that has come to its end.
        trainer: Command that takes the flags of `care_keras.train`.

    Returns:
        The runs that have failed.

    Raises:
        UserError: If another process trains in the folder, or the flags do not
            make a run.
    """
    pending = [run for run in runs if not run.finished]
    say(f"runs in all: {len(runs)}, finished before: {len(runs) - len(pending)}")
    failed = []
    started = time.monotonic()
    with _exclusive(folder) as lock:
        for i, run in enumerate(pending):
            say(f"run {i + 1} of {len(pending)}: {run}")
            code = _train(run, trainer, lock)
            if run.finished:
                after_each()
            else:
                failed.append(run)
                say(f"{run} has failed (exit code {code})")
                if code == _BAD_USE and not any(run.finished for run in runs):
                    raise UserError(f"{run} cannot be trained, for the reason above")
            left = len(pending) - i - 1
            minutes = (time.monotonic() - started) / (i + 1) * left / 60.0
            say(f"runs left: {left}, about {minutes:.0f} min")
    return failed


def _train(run, trainer, lock):
    """Runs the trainer in a process of its own and returns its exit code."""
    # Behind "python -m care_keras.train".
    settings = shlex.split(command_of(run.config))[3:]
    # It holds the lock too: should this process be killed, the folder is not free before its end.
    process = subprocess.Popen([*trainer, *settings], pass_fds=(lock,))
    try:
        return process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise


@contextlib.contextmanager
def _exclusive(folder: pathlib.Path) -> Iterator[int]:
    """Keeps other processes out; yields the descriptor that does."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stream = (folder / ".lock").open("w")
    except OSError as error:
        raise UserError(f"--run_dir={folder} cannot be used: {error.strerror}") from error
    with stream:
        if try_lock(stream) is False:
            raise UserError(f"--run_dir={folder}: another process trains in it; wait for its end")
        yield stream.fileno()
