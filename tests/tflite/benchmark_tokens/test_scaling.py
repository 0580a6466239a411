"""How costs grow with tokens: fits of known powers, whole models' work, tables, the picture."""

import pathlib

import numpy as np
import pytest
from PIL import Image

from care_keras.models import CONFIGS, build_model
from care_keras.models.complexity import complexity
from tests.tflite.latencies import made_up
from tflite.benchmark_tokens.chart import draw
from tflite.benchmark_tokens.scaling import (
    TokenCount,
    exponent,
    growth,
    growth_table,
    time_table,
    token_count,
    whole_model_macs,
    work_table,
)
from tflite.benchmark_tokens.shape import KINDS

SIDES = (112, 224, 336, 448, 672, 896)


def counts(sides=SIDES) -> list[TokenCount]:
    """Times that are exactly a constant plus a power, but for noise of 1 %."""
    generator = np.random.default_rng(0)
    result = []
    for side in sides:
        tokens = (side // 16) ** 2
        centers = {"linear": 0.01 + 2e-4 * tokens, "softmax": 0.01 + 3e-6 * tokens**2}
        macs = {"linear": 4096 * tokens, "softmax": 2048 * tokens + 64 * tokens**2}
        latencies = {
            kind: made_up(pathlib.Path(f"{kind}_{side}.tflite"), centers[kind]) for kind in KINDS
        }
        result.append(token_count(side, tokens, macs, latencies, generator))
    return result


@pytest.mark.parametrize("power", [0.0, 1.0, 1.5, 2.0])
def test_the_exponent_of_a_power(power):
    tokens = np.array([49, 196, 784, 3136])
    assert exponent(tokens, 0.3 * tokens**power) == pytest.approx(power, abs=1e-12)


def test_growth_is_fitted_to_the_larger_half():
    fit = growth(counts(), np.random.default_rng(1))
    assert fit.tokens == (784, 3136)
    assert fit.macs["linear"] == pytest.approx(1, abs=1e-12)
    # 2048 N + 64 N^2: quadratic in the limit, and nearer to it at larger sizes.
    assert 1.95 < fit.macs["softmax"] < 2
    small = growth(counts(SIDES[:3]), np.random.default_rng(1))
    assert small.tokens == (196, 441) and small.macs["softmax"] < fit.macs["softmax"]
    for kind, expected in (("linear", 1), ("softmax", 2)):
        time = fit.time[kind]
        assert time.low < time.value < time.high
        # Rounds scatter by 1 %; the constant takes a little of linear's exponent.
        assert time.value == pytest.approx(expected, abs=0.08)
        assert time.high - time.low < 0.05
        assert fit.shortest_time[kind] == pytest.approx(expected, abs=0.08)


def test_two_sizes_are_enough():
    assert growth(counts(SIDES[:2]), np.random.default_rng(0)).tokens == (49, 196)


@pytest.mark.parametrize("name", ["s0", "nano"])
def test_work_of_whole_models(name):
    config = CONFIGS[name]
    sides = (64, 128)
    found = whole_model_macs(config, sides)
    for side, macs in zip(sides, found, strict=True):
        counted = complexity(build_model(config), (side, side))
        assert macs["linear"] == counted.conv_dense_macs + counted.attention_macs
        expected = counted.conv_dense_macs
        for i, head_dim in enumerate(config.head_dims):
            if head_dim:
                tokens = (side // (config.stem_stride * 2**i)) ** 2
                expected += config.depths[i] * 2 * tokens**2 * config.channels[i] // 4
        assert macs["softmax"] == expected


def test_tables():
    found = counts()
    fit = growth(found, np.random.default_rng(1))
    whole = [{"linear": 10**9 * i, "softmax": 2 * 10**9 * i} for i in range(1, 7)]
    work = work_table(found, whole).splitlines()
    assert work[-1].split() == ["896", "3,136", "12.845", "635.830", "6.000", "12.000"]
    times = time_table(found).splitlines()
    assert len(times) == 2 + len(SIDES)
    row = times[-1].split()
    softmax, linear = (found[-1].latencies[kind].latency_median_ms.value for kind in KINDS[::-1])
    least = found[-1].latencies["linear"].latency_min_ms
    assert row[:4] == ["896", "3,136", f"{least:.3f}", f"{linear:.3f}"] and f"{softmax:.3f}" in row
    assert float(next(word for word in row if word.endswith("x"))[:-1]) == pytest.approx(
        softmax / linear, rel=0.02
    )
    lines = growth_table(fit).splitlines()
    assert lines[2].split()[:3] == ["linear", "1.000", f"{fit.time['linear'].value:.2f}"]


def test_the_picture(tmp_path, monkeypatch):
    import matplotlib

    found = counts()
    fit = growth(found, np.random.default_rng(1))
    draw(found, fit, tmp_path / "tokens.png", "a title", "a note")
    with Image.open(tmp_path / "tokens.png") as picture:
        colors = {color for _, color in picture.convert("RGB").getcolors(1 << 20)}
    assert {(0, 0x72, 0xB2), (0xE6, 0x9F, 0)} <= colors
    monkeypatch.setitem(matplotlib.rcParams, "svg.fonttype", "none")
    draw(found, fit, tmp_path / "tokens.svg", "a title", "a note")
    text = (tmp_path / "tokens.svg").read_text()
    for words in ("a title", "a note", "3,136", "896 px", "softmax attention", "784"):
        assert words in text


def test_a_picture_that_fails_leaves_no_file(tmp_path):
    found = counts(SIDES[:2])
    fit = growth(found, np.random.default_rng(1))
    with pytest.raises(ValueError, match="tiff2"):
        draw(found, fit, tmp_path / "picture.tiff2", "", "")
    assert not list(tmp_path.iterdir())
