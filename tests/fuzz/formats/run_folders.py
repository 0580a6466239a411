"""The small files of a training run's folder: settings, environment, log and result."""

import json
import pathlib
import shutil
import tempfile

from care_keras.ablation_study import results
from care_keras.ablation_study.runs import read_result
from care_keras.console.cli import UserError
from care_keras.training.config import TrainingConfig
from care_keras.training.run import folder as run_folder
from care_keras.training.run.checkpoint import Position
from care_keras.training.run.epoch_log import read_log
from care_keras.training.run.folder import RunFolder
from tests.fuzz.formats import Format
from tests.fuzz.mutate import json_text, text

# What runs is asked of git, and is no part of the files.
run_folder.environment = dict
_SETTINGS = TrainingConfig("nano", "bundled", pathlib.Path("run")).to_dict()
_LOG = b"""epoch,learning_rate,accuracy,loss,images_per_second,seconds,val_accuracy,val_loss
1,0.001,0.25,2.0,1500.5,10.2,0.3,1.9
2,0.002,0.35,1.8,1510.0,10.1,,
3,0.001,0.45,1.6,1490.25,10.3,0.4,1.7
"""
_RESULT = {"top1": 0.5, "evaluated_on": "bundled:test", "images": 512, "seed": 0, "best": None}
_STARTS = [{"started": "2026-01-01T00:00:00+00:00", "epoch": 0, "step": 0, "seed": 0}]


def _corpus():
    files = {"config.json": _SETTINGS, "result.json": _RESULT, "environment.json": _STARTS}
    return {"log.csv": _LOG} | {
        name: json.dumps(content).encode() for name, content in files.items()
    }


def _mutate(rng, content, others):
    if content.startswith(b"epoch,"):
        return text.mutate(rng, content, others)
    return json_text.mutate(rng, content, [other for other in others if other[:1] in b"[{"])


def _read(path):
    """Each file is tried in each place, as its name is not known here."""
    content, problem = path.read_bytes(), None
    folder = pathlib.Path(tempfile.mkdtemp(dir=path.parent))
    try:
        for name in ("log.csv", "config.json", "environment.json", "result.json"):
            (folder / name).write_bytes(content)
        _check_log(read_log(folder / "log.csv"))
        _check_result(read_result(folder))
        for read in (results._settings, _prepare, _note):
            try:
                read(folder)
            except UserError as error:
                problem = problem or error
    finally:
        shutil.rmtree(folder)
    if problem:
        raise problem


def _prepare(folder):
    RunFolder(folder, writes=False).prepare(_SETTINGS)


def _note(folder):
    RunFolder(folder).note_start(Position(1, 0), 0, "CPU")


def _check_log(rows):
    for row in rows:
        assert isinstance(row["epoch"], int)
        assert all(isinstance(value, int | float) for value in row.values()), row


def _check_result(result):
    assert result is None or 0 <= result["top1"] <= 1, result


FORMATS = {"run folders": Format(".txt", _corpus, _mutate, _read)}
