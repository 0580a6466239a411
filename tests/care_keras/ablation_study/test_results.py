import json
import shlex

import pytest

from care_keras.ablation_study.results import collect, command_of_study
from care_keras.console.cli import UserError
from care_keras.loading import load_any
from care_keras.models.complexity import complexity

TOP1 = {
    "nano-0": 0.80,
    "nano-1": 0.82,
    "nano_sym-0": 0.81,
    "nano_sym-1": 0.80,
    "nano_no_local-1": 0.70,
}


@pytest.fixture
def finished(study):
    study.plan["top1"] = TOP1
    study.plan["exit"] = {"nano_no_local-0": 1}
    study.train(["no_local", "sym", "base"])
    return study


def test_variants_with_their_seeds_the_base_model_first(finished):
    result = collect(finished.folder)
    assert (result.base, result.evaluated_on, result.images) == ("nano", "bundled:test", 1000)
    assert [x.variant for x in result.variants] == ["base", "sym", "no_local"]
    assert [x.model for x in result.variants] == ["nano", "nano_sym", "nano_no_local"]
    assert [x.top1 for x in result.variants] == [{0: 0.80, 1: 0.82}, {0: 0.81, 1: 0.80}, {1: 0.70}]


def test_differences_are_those_of_the_same_seed(finished):
    base, symmetric, without_local = collect(finished.folder).variants
    assert base.differences == {}
    assert symmetric.differences == pytest.approx({0: 0.01, 1: -0.02})
    assert without_local.differences == pytest.approx({1: -0.12})


def test_costs_are_of_the_model_that_was_trained(finished, trained_model):
    expected = complexity(load_any(str(trained_model)), (16, 24))
    assert {x.cost.parameters for x in collect(finished.folder).variants} == {expected.parameters}


def test_the_command_makes_the_study_again(finished):
    command = command_of_study(collect(finished.folder))
    assert shlex.split(command) == [
        *("python", "-m", "care_keras.ablate", "--model=nano", "--data=bundled", "--seeds=0,1"),
        *("--variants=base,sym,no_local", "--epochs=2"),
    ]


def test_as_json(finished):
    study = json.loads(json.dumps(collect(finished.folder).to_dict()))
    assert study["variants"][1]["top1"] == {"0": 0.81, "1": 0.80}
    assert study["settings"]["epochs"] == 2 and "seed" not in study["settings"]
    assert study["command"].startswith("python -m care_keras.ablate ")


def test_other_folders_are_not_of_the_study(finished):
    for name in ("sym-seedx", "half-seed0", "notes"):
        (finished.folder / name).mkdir()
    assert len(collect(finished.folder).variants) == 3


def test_no_finished_run(tmp_path):
    with pytest.raises(UserError, match="holds no finished run"):
        collect(tmp_path)


@pytest.mark.parametrize(
    ("run", "setting", "value", "message"),
    [
        ("sym-seed0", "epochs", 3, "differ in epochs"),
        ("sym-seed1", "model", "nano_stacked", "differ in model"),
        ("no_local-seed1", "seed", 0, "differ in seed"),
    ],
)
def test_runs_that_do_not_belong_together(finished, run, setting, value, message):
    path = finished.folder / run / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {setting: value}))
    with pytest.raises(UserError, match=message):
        collect(finished.folder)


def test_how_a_run_was_run_may_differ(finished):
    path = finished.folder / "sym-seed0" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"checkpoint_steps": 5}))
    assert len(collect(finished.folder).variants) == 3


@pytest.mark.parametrize("content", ["", "[]", '{"seed": 1}'])
def test_a_damaged_config(finished, content):
    (finished.folder / "sym-seed0" / "config.json").write_text(content)
    with pytest.raises(UserError, match="does not hold the settings of a run"):
        collect(finished.folder)


def test_a_missing_model(finished):
    for seed in (0, 1):
        (finished.folder / f"sym-seed{seed}" / "model.keras").unlink()
    with pytest.raises(UserError, match="No such model file"):
        collect(finished.folder)
