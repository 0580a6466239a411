import pytest

from care_keras.console import cli
from care_keras.models import ABLATIONS
from care_keras.models.listing import report
from tests.tflite.commands import run_here


def test_one_row_per_model_and_size():
    lines = report("nano", ["32", "64x48"]).splitlines()
    assert lines[0].split("  ")[0] == "model"
    assert [line.split()[:3] for line in lines[2:]] == [
        ["care_nano", "32x32", "790,468"],
        ["care_nano", "64x48", "790,468"],
    ]


def test_the_default_size_is_the_models_own_and_stages_sum_up():
    lines = report("nano", layers=True).splitlines()
    assert lines[0] == "care_nano at 32x32"
    assert [line.split()[0] for line in lines[3:]] == [
        "stem",
        "stage1",
        "stage2",
        "stage3",
        "classifier",
        "total",
    ]


def test_ablations_stand_below_their_model_at_every_size():
    lines = report("nano", ["32", "64x48"], ablations=True).splitlines()
    rows = [line.split() for line in lines[2:]]
    names = ["nano", *(f"nano_{name}" for name in ABLATIONS)]
    assert [row[:2] for row in rows] == [[x, size] for x in names for size in ("32x32", "64x48")]
    assert [row[2] for row in rows[:2]] == ["790,468", "790,468"]
    assert [row[5] for row in rows[:2]] == ["1.000x", "1.000x"]
    # (0.0330 + 0.0013) / (0.0290 + 0.0001)
    (stacked,) = (row for row in rows if row[:2] == ["nano_stacked", "32x32"])
    assert stacked[5] == "1.180x"
    assert " ".join(stacked[6:]) == "local bias, then attention, on all features"


def test_an_ablation_by_its_name():
    lines = report("nano_no_inter1").splitlines()
    assert [line.split()[:3] for line in lines[2:]] == [["care_nano_no_inter1", "32x32", "521,428"]]


def test_heads_stand_below_their_backbone():
    lines = report("s1", heads=True).splitlines()[2:]
    names = [line.split("512x512")[1].rsplit(maxsplit=2)[0].strip() for line in lines]
    assert names == [
        "none",
        *(f"SemanticFPN, {head}, 150 classes" for head in ("lite", "paper")),
        *(f"RetinaNet, {head}, 80 classes" for head in ("lite", "paper")),
    ]
    macs = [float(line.split()[-1]) for line in lines]
    # The published figure of the backbone, and Semantic FPN's 21.2.
    assert macs[0] == pytest.approx(5.365, rel=1e-3)
    assert macs[2] - macs[0] == pytest.approx(21.2, rel=3e-3)
    assert macs[1] < 1.12 * macs[0] and macs[3] < 1.12 * macs[0]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"model": "nano", "heads": True, "layers": True}, "--heads is a table of its own"),
        ({"model": "s0", "heads": True, "sizes": ["100"]}, "multiples of 32 .*100x100"),
        ({"model": "nano_sym", "ablations": True}, "--model=nano_sym is one itself"),
        ({"model": "nano", "ablations": True, "layers": True}, "leave one of them out"),
    ],
)
def test_tables_that_do_not_exist(arguments, message):
    with pytest.raises(cli.UserError, match=message):
        report(**arguments)


@pytest.mark.parametrize(
    "model, sizes, message",
    [
        (
            "s9",
            [],
            "--model must be all or one of s0, s1, s2, nano, xs, or an ablation .*, not 's9'",
        ),
        ("nano", ["32", "0x"], "--size must be N or HxW"),
        ("nano", ["7"], "--size=7x7 is too small: care_nano needs at least 8x8"),
        ("nano", ["0"], "--size must be N or HxW"),
    ],
)
def test_mistakes_are_named(model, sizes, message):
    with pytest.raises(cli.UserError, match=message):
        report(model, sizes)


def test_command_line():
    result = run_here("care_keras.models", "--model=nano", "--size=32,7")
    assert result.returncode == 2
    assert result.stdout == ""
    assert "error: --size=7x7 is too small" in result.stderr
    assert "Traceback" not in result.stderr
