"""A study whose runs a stand-in trains."""

import dataclasses
import json
import pathlib
import sys

import pytest

from care_keras.ablation_study.runs import plan_runs, run_all
from care_keras.training.config import TrainingConfig
from tests.care_keras.helpers import TINY, tiny_classifier


@pytest.fixture(scope="session")
def trained_model(tmp_path_factory):
    """A file of a model, as a run ends with one."""
    path = tmp_path_factory.mktemp("trained") / "model.keras"
    tiny_classifier(preprocessing=TINY.preprocessing).save(path)
    return path


@dataclasses.dataclass
class Study:
    """A folder, and what the stand-in shall do in it.

    Attributes:
        folder: That of the study.
        plan: The stand-in's; changed before a call.
        config: What the runs have in common.
    """

    folder: pathlib.Path
    plan: dict
    config: TrainingConfig

    @property
    def trainer(self) -> list[str]:
        path = self.folder.parent / "plan.json"
        path.write_text(json.dumps(self.plan))
        return [sys.executable, str(pathlib.Path(__file__).parent / "stand_in_trainer.py"), path]

    def runs(self, variants=("base", "sym"), seeds=(0, 1), **changes):
        config = dataclasses.replace(self.config, **changes)
        return plan_runs(config, variants, seeds, self.folder)

    def train(self, *args, after_each=lambda: None, **kwargs):
        """Trains what is not finished; returns what failed and the names of what was started."""
        log = pathlib.Path(self.plan["log"])
        log.write_text("")
        failed = run_all(self.runs(*args, **kwargs), self.folder, after_each, self.trainer)
        return [str(run) for run in failed], log.read_text().split()


@pytest.fixture
def study(tmp_path, trained_model):
    plan = {"model": str(trained_model), "top1": {}, "exit": {}, "log": str(tmp_path / "log")}
    config = TrainingConfig("nano", "bundled", pathlib.Path(), epochs=2)
    return Study(tmp_path / "study", plan, config)
