import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from care_keras.ablation_study import runs as module
from care_keras.ablation_study.runs import VARIANTS, run_all
from care_keras.console.cli import UserError
from care_keras.models import ABLATIONS


def test_each_variant_has_a_run_for_each_seed_in_a_folder_of_its_own(study):
    runs = study.runs(VARIANTS, (0, 3))
    assert len(runs) == 2 * (1 + len(ABLATIONS)) == len({x.config.run_dir for x in runs})
    assert [str(x) for x in runs[:2]] == ["base, seed 0", "sym, seed 0"]
    last = runs[-1].config
    assert (last.model, last.seed, last.epochs) == ("nano_local_3_5", 3, 2)
    assert last.run_dir == study.folder / "local_3_5-seed3"
    assert runs[0].config.model == "nano"


def test_what_is_finished_is_not_trained_again(study):
    assert study.train(seeds=[0]) == ([], ["nano-0", "nano_sym-0"])
    assert study.train() == ([], ["nano-1", "nano_sym-1"])
    assert study.train() == ([], [])
    # Half a result is none, nor is one of which no table can be made.
    for content in (
        '{"top1": 0.',
        '{"top1": 0.5}',
        '{"top1": 7.0, "evaluated_on": "x"}',
        "[" * 10**5,
    ):
        (study.folder / "sym-seed1" / "result.json").write_text(content)
        assert study.train() == ([], ["nano_sym-1"])


def test_the_trainer_gets_every_setting(study):
    study.train(["sym"], [7], learning_rate=0.5, crop_scale=(0.25, 1.0), flip=False)
    settings = json.loads((study.folder / "sym-seed7" / "config.json").read_text())
    expected = study.runs(["sym"], [7], learning_rate=0.5, crop_scale=(0.25, 1.0), flip=False)
    assert settings == expected[0].config.to_dict()


def test_runs_with_other_settings_are_refused(study):
    study.train()
    with pytest.raises(UserError, match=r"base-seed0 holds .* other settings \(learning_rate\)"):
        study.runs(learning_rate=0.1)


def test_a_run_that_fails_does_not_stop_the_others(study):
    study.plan["exit"] = {"nano_sym-0": 1, "nano-1": -9}
    reports = []
    failed, started = study.train(after_each=lambda: reports.append(1))
    assert failed == ["sym, seed 0", "base, seed 1"]
    assert len(started) == 4 and len(reports) == 2
    study.plan["exit"] = {}
    assert study.train() == ([], ["nano_sym-0", "nano-1"])


def test_flags_that_no_run_can_start_with_end_the_study(study):
    study.plan["exit"] = {"nano-0": 2}
    with pytest.raises(UserError, match="base, seed 0 cannot be trained"):
        study.train()
    assert (study.folder.parent / "log").read_text().split() == ["nano-0"]


def test_bad_use_after_a_run_has_come_to_its_end_is_a_failure_like_others(study):
    study.plan["exit"] = {"nano_sym-0": 2}
    failed, started = study.train()
    assert failed == ["sym, seed 0"] and len(started) == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"variants": ["base", "half"]}, "--variants must be of base, sym, .*, not 'half'"),
        ({"variants": ["sym", "sym"]}, "--variants must name at least one, and each once"),
        ({"seeds": []}, "--seeds must name at least one"),
        ({"model": "nano_sym"}, "--model must be the base model, one of .*, not 'nano_sym'"),
    ],
)
def test_studies_that_do_not_exist(study, changes, message):
    with pytest.raises(UserError, match=message):
        study.runs(**changes)


def test_a_folder_that_cannot_be_made(study, tmp_path):
    (tmp_path / "file").write_text("")
    blocked = dataclasses.replace(study, folder=tmp_path / "file" / "study")
    with pytest.raises(UserError, match="cannot be used"):
        run_all(blocked.runs(), blocked.folder, lambda: None, study.trainer)


# Trains in a process that can be killed.
_STUDY = """
import pathlib, sys
from care_keras.ablation_study.runs import plan_runs, run_all
from care_keras.training.config import TrainingConfig
folder = pathlib.Path(sys.argv[1])
config = TrainingConfig("nano", "bundled", folder, epochs=2)
run_all(plan_runs(config, ["base"], [0], folder), folder, lambda: None, sys.argv[2:])
"""


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def test_one_process_at_a_time_and_no_second_trainer_beside_one_left_behind(study):
    study.plan["exit"] = {"nano-0": 99}
    command = [sys.executable, "-c", _STUDY, study.folder, *study.trainer]
    process = subprocess.Popen(command, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"})
    config = study.folder / "base-seed0" / "config.json"
    trainer = None
    try:
        wait_until(config.exists)
        children = f"/proc/{process.pid}/task/{process.pid}/children"
        if not os.path.exists(children):
            pytest.skip("this system does not list a process's children")
        with open(children) as stream:
            trainer = int(stream.read().split()[-1])
        with pytest.raises(UserError, match="another process trains in it"):
            study.train()
        process.kill()
        process.wait()
        # The trainer goes on alone, and the folder stays closed.
        with pytest.raises(UserError, match="another process trains in it"):
            study.train()
        os.kill(trainer, signal.SIGKILL)
        wait_until(lambda: not os.path.exists(f"/proc/{trainer}"))
    finally:
        process.kill()
        process.wait()
        if trainer is not None and os.path.exists(f"/proc/{trainer}"):
            os.kill(trainer, signal.SIGKILL)
    study.plan["exit"] = {}
    assert study.train(["base"], [0]) == ([], ["nano-0"])


def test_an_interrupted_study_ends_its_trainer(study, monkeypatch):
    study.plan["exit"] = {"nano-0": 99}
    started = []

    class Interrupted(subprocess.Popen):
        def wait(self, timeout=None):
            if not started:
                started.append(self)
                wait_until((study.folder / "base-seed0" / "config.json").exists)
                raise KeyboardInterrupt
            return super().wait(timeout)

    monkeypatch.setattr(module.subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        study.train()
    assert started[0].returncode == -signal.SIGTERM
