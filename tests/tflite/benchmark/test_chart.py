import pathlib
import sys

import pytest
from PIL import Image

from care_keras.console.optional import MissingDependencyError
from tests.tflite.latencies import made_up
from tflite.benchmark.chart import draw

A, B = pathlib.Path("a.tflite"), pathlib.Path("b.tflite")
RESULTS = [
    made_up(A, 2.0),
    made_up(B, 3.0, reference_ms=2.0),
    made_up(A, 1.2, threads=2),
    made_up(B, 1.7, threads=2, reference_ms=1.2),
]


def test_a_png(tmp_path):
    draw(RESULTS, {}, tmp_path / "bars.png", "LiteRT 2.3.0")
    draw(RESULTS, {"a.tflite": 0.82, "b.tflite": 0.79}, tmp_path / "both.png", "LiteRT 2.3.0")
    with Image.open(tmp_path / "bars.png") as bars, Image.open(tmp_path / "both.png") as both:
        assert both.size == (2 * bars.width, bars.height)
        colors = {color for _, color in bars.convert("RGB").getcolors(1 << 20)}
    # A colour for each number of threads.
    assert {(0, 0x72, 0xB2), (0xE6, 0x9F, 0)} <= colors


def test_what_it_says(tmp_path, monkeypatch):
    import matplotlib

    monkeypatch.setitem(matplotlib.rcParams, "svg.fonttype", "none")
    draw(RESULTS, {"b.tflite": 0.79}, tmp_path / "picture.svg", "LiteRT 2.3.0 on a test")
    text = (tmp_path / "picture.svg").read_text()
    for words in ("a.tflite", "top-1, %", "latency, ms", "2 threads", "LiteRT 2.3.0 on a test"):
        assert words in text
    assert f"{RESULTS[1].latency_median_ms.value:.3g} ms" in text
    assert f"{RESULTS[1].ratio.value:.2f}x" in text
    # Without an accuracy a file is in the bars alone.
    assert text.count(">a.tflite<") == 1 and text.count(">b.tflite<") == 2


def test_without_matplotlib(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingDependencyError, match=r"pip install .*\[report\]'"):
        draw(RESULTS, {}, tmp_path / "picture.png", "")
    assert not list(tmp_path.iterdir())


def test_a_failure_leaves_no_file(tmp_path):
    with pytest.raises(ValueError, match="tiff2"):
        draw(RESULTS, {}, tmp_path / "picture.tiff2", "")
    assert not list(tmp_path.iterdir())
