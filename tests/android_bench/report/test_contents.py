import csv
import dataclasses
import html.parser
import io
import json
import re
import xml.etree.ElementTree

import pytest

from android_bench.records import RecordFile, read_records
from android_bench.report import pictures
from android_bench.report.contents import as_csv, as_json, evaluate, text
from android_bench.report.page import page
from android_bench.report.page_parts import table
from tests.android_bench.made_records import SERIAL, write_run

NASTY = "<script>alert('x')</script> & ä.tflite"


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    path = write_run(
        tmp_path_factory.mktemp("report") / "run.jsonl",
        {
            ("a.tflite", "xnnpack"): [10.0, 10.1, 10.2],
            ("a.tflite", "gpu"): ["the phone </pre> was lost", 4.0, 4.1],
            (NASTY, "xnnpack"): [20.0, 25.0, 20.1],
        },
    )
    with RecordFile(path) as file:
        shared = {"serial": SERIAL, "label": "a.tflite", "sha256": "sum of a.tflite"}
        file.append(
            "verify",
            **shared,
            delegate="xnnpack",
            threads=1,
            status="ok",
            reason=None,
            verdict="within 1 code",
            compared=8,
            largest_difference=1.0,
            unit="codes",
            top1=0.86,
            host_top1=0.87,
            labelled=100,
            images="8 of bundled:test",
            host_runtime="ai-edge-litert 2.3.0",
        )
        file.append(
            "profile",
            **shared,
            delegate="xnnpack",
            status="ok",
            reason=None,
            operations=[
                {"type": f"Op {number}", "nodes": 1, "time_ms": 1.0, "share": share}
                for number, share in enumerate((0.5, 0.2, 0.1, 0.08, 0.06, 0.03, 0.02, 0.01))
            ],
        )
    # A second phone, of the same kind.
    first = read_records(path)
    second = [one | {"serial": "FAKE0002"} for one in first if one["kind"] in ("device", "cell")]
    return first + second[:3]


@pytest.fixture(scope="module")
def report(records):
    return evaluate(records)


def test_table(report):
    lines = text(report).splitlines()
    assert lines[0] == f"Nobody Fake <1>, Fakecomm FK8000, Android 14 ({SERIAL})"
    row = next(line for line in lines if line.startswith("a.tflite") and "xnnpack" in line)
    assert "10.1 ms" in row and "within 1 code" in row and "31 to 38" in row
    assert "10.3 ms" in row and "10.4 ms" in row and "1800 to 1800" in row
    # Of two phones of one kind each line says which.
    failure = next(line for line in lines if "1 of 3 runs failed: the phone" in line)
    assert failure.startswith(f"  Nobody Fake <1> ({SERIAL}): a.tflite, gpu, 1 thread, big: ")
    assert any("rounds disagree" in line for line in lines)


def test_csv_and_json(report):
    rows = list(csv.DictReader(io.StringIO(as_csv(report))))
    assert [row["label"] for row in rows] == ["a.tflite", "a.tflite", NASTY, "a.tflite"]
    assert [row["serial"] for row in rows] == [SERIAL] * 3 + ["FAKE0002"]
    assert float(rows[0]["p50_ms"]) == pytest.approx(10.1) and rows[0]["outputs"] == "within 1 code"
    assert float(rows[0]["p99_low_ms"]) <= float(rows[0]["p99_ms"]) <= float(rows[0]["p99_high_ms"])
    assert rows[0]["single_runs"] == "120" and rows[3]["p99_ms"] == ""
    assert rows[0]["top1"] == "0.86" and rows[2]["top1"] == "0.8"
    assert rows[1]["failed_rounds"] == "1" and rows[1]["marks"] == "few rounds; 1 failed"
    content = json.loads(as_json(report))
    assert content["cells"][0]["p50"]["value"] == pytest.approx(10.1)
    assert content["devices"][SERIAL]["model"] == "Fake <1>" and len(content["failures"]) == 1


class Collector(html.parser.HTMLParser):
    """Tags, links and text of a page."""

    def __init__(self):
        super().__init__()
        self.tags, self.references, self.text = [], [], ""

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.references += [v for k, v in attributes if k in ("src", "href", "xlink:href")]

    def handle_data(self, data):
        self.text += data


def test_a_page_that_needs_nothing_else(report, records):
    pytest.importorskip("matplotlib")
    content = page(report, records)
    collector = Collector()
    collector.feed(content)
    # Latency, accuracy and temperature of each phone, and the profile; wide and narrow.
    assert collector.tags.count("svg") == 2 * 7 and "script" not in collector.tags
    assert content.count('class="on-wide"') == content.count('class="on-narrow"') == 7
    # References are to parts of the page's own pictures.
    assert all(one.startswith("#") for one in collector.references)
    assert "@import" not in content and not re.search(r"url\((?!#)", content)
    assert NASTY in collector.text and "the phone </pre> was lost" in collector.text
    assert "\x1b" not in content
    for word in (
        "10.1 ms",
        "within 1 code",
        "86.0%",
        "(8 of bundled:test)",
        "prefers-color-scheme: dark",
    ):
        assert word in content
    # What is referred to is there, and once.
    names = re.findall(r'\bid="([^"]+)"', content)
    assert len(names) == len(set(names))
    assert {one[1:] for one in collector.references} <= set(names)


def test_published_points_stand_beside_imagenet_alone(report, records):
    pytest.importorskip("matplotlib")
    assert "iPhone 13" not in page(report, records)
    verified = [{**one, "images": "50 of tfds:imagenet2012:val"} for one in report.verifications]
    on_imagenet = dataclasses.replace(report, verifications=verified)
    content = page(on_imagenet, records)
    assert "iPhone 13" in content and "(50 of tfds:imagenet2012:val)" in content


def test_the_interval_of_a_top1_is_that_of_its_images(report):
    (top1,) = {report.top1_of(cell) for cell in report.cells if cell.label == "a.tflite"} - {
        report.top1_of(report.cells[-1])
    }
    low, high = top1.interval
    assert (top1.value, top1.images) == (0.86, 100)
    assert low == pytest.approx(0.779, abs=1e-3) and high == pytest.approx(0.915, abs=1e-3)
    assert report.top1_of(report.cells[-1]).interval == (0.8, 0.8)


def test_pictures_take_the_colour_of_the_page(report):
    pytest.importorskip("matplotlib")
    for svg in every_picture(report, pictures.WIDE):
        root = xml.etree.ElementTree.fromstring(svg)
        assert root.tag.endswith("svg") and root.get("viewBox") and not root.get("width")
        assert "currentColor" in svg and "#010203" not in svg
        assert not re.search(r"(fill|stroke): (#000000|#ffffff|black|white)", svg)


def every_picture(report, width):
    return (
        pictures.latency(report.cells, width),
        pictures.accuracy(report, report.cells, width),
        pictures.profile(report.profiles, report.phone_names, width),
        pictures.temperature(report.trace[SERIAL], width),
    )


def test_pictures_for_a_narrow_page(report, monkeypatch):
    """Text keeps its size: the picture is narrower, and long names are cut in their middle."""
    pytest.importorskip("matplotlib")
    import matplotlib

    for wide, narrow in zip(
        every_picture(report, pictures.WIDE), every_picture(report, pictures.NARROW), strict=True
    ):
        sizes = [
            float(xml.etree.ElementTree.fromstring(svg).get("viewBox").split()[2])
            for svg in (wide, narrow)
        ]
        assert sizes == [pytest.approx(72 * pictures.WIDE), pytest.approx(72 * pictures.NARROW)]
    # Glyphs stay text, so that it can be read here.
    context = matplotlib.rc_context
    monkeypatch.setattr(matplotlib, "rc_context", lambda rc: context({"svg.fonttype": "none"}))
    cell = dataclasses.replace(report.cells[0], label="a_network_of_a_very_long_name_int8.tflite")
    about = f"{cell.delegate}, 1 thr, big"
    assert f"{cell.label}, {about}" in pictures.latency([cell], pictures.WIDE)
    short = pictures.latency([cell], pictures.NARROW)
    assert cell.label not in short
    assert re.search(f">a_netw[a-z_]*\N{HORIZONTAL ELLIPSIS}[a-z_]*int8.tflite, {about}<", short)


def test_rows_that_stand_alone_on_a_narrow_page():
    content = table(("model", "p50", "marks"), [["a <1>", "1.5 ms", "5 failed"], ["b", None, None]])
    assert '<th class="number">p50</th>' in content and "<th>marks</th>" in content
    assert '<td data-title="model">a &lt;1&gt;</td>' in content
    assert '<td class="number" data-title="p50">1.5 ms</td>' in content
    assert '<td class="number missing" data-title="p50">&ndash;</td>' in content
    assert '<td class="missing" data-title="marks">&ndash;</td>' in content


def test_rounds_that_failed_alike_are_told_once(tmp_path):
    pytest.importorskip("matplotlib")
    cells = {("a", "xnnpack"): ["broke", "broke", "was lost"], ("b", "xnnpack"): [1.0] * 3}
    records = read_records(write_run(tmp_path / "run", cells))
    content = page(evaluate(records), records)
    assert re.findall("<summary>(.*?)</summary>", content) == [
        "a, xnnpack, threads 1, big, rounds 1, 2: broke",
        "a, xnnpack, threads 1, big, rounds 3: was lost",
    ]


def test_a_run_without_a_result(tmp_path):
    pytest.importorskip("matplotlib")
    records = read_records(write_run(tmp_path / "run", {("a", "xnnpack"): ["broke", "broke"]}))
    report = evaluate(records)
    assert "2 of 2 runs failed: broke" in text(report)
    content = page(report, records)
    assert "0 of 1 cells measured" in content and "broke" in content
    assert pictures.temperature([]) is None and pictures.latency(report.cells) is None
