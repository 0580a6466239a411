import dataclasses

import pytest

from care_keras.models import build_model
from care_keras.weights import checkpoint_entries
from tests.care_keras.weights.conftest import tiny, weights_rule  # noqa: F401
from tests.published_weights import TINY, fetch_from, name_tiny, saved
from tests.tflite.commands import run_here
from tests.web_server import Answer, serve
from tflite.evaluate.accuracy import Share
from tflite.evaluate.published import lies_within


@pytest.mark.parametrize(
    ("published", "count", "total", "expected"),
    [
        (0.784, 784, 1000, True),
        (0.784, 39_200, 50_000, True),
        (0.784, 38_800, 50_000, False),
        (0.784, 39_600, 50_000, False),
        (0.784, 1, 1000, False),
        # The interval ends at 78.38 %, and a published 78.4 % may be 78.35 %.
        (0.784, 39_010, 50_000, True),
    ],
)
def test_a_published_figure_and_an_interval(published, count, total, expected):
    assert lies_within(published, Share(count, total)) is expected


@pytest.fixture
def weights(tiny, weights_rule, tmp_path, monkeypatch):  # noqa: F811
    """Weights of a small model of 1000 classes, made by a rule, are published ones."""
    config = dataclasses.replace(tiny, classes=1000)
    name_tiny(monkeypatch, config)
    entries = checkpoint_entries(build_model(config))
    arrays = weights_rule.make_state_dict({entry.name: list(entry.shape) for entry in entries})
    with serve({f"/{TINY.file}": Answer(saved(arrays))}) as server:
        fetch_from(monkeypatch, server.url, tmp_path / "keras")
        yield


def evaluate(data, *flags):
    return run_here("tflite.evaluate", f"--model={TINY.name}", f"--data={data}", *flags)


def test_bad_weights_are_called_bad(weights, imagenet_folder, tmp_path):
    figures = tmp_path / "figures.json"
    data = imagenet_folder / "val"
    done = evaluate(data, "--samples=40", f"--output_json={figures}")
    assert done.returncode == 1, done.stderr
    assert "published top-1 of care_tiny_imagenet: 50.0%, NOT within the 95 %" in done.stdout
    assert done.stderr.splitlines()[-1].startswith("error: care_tiny_imagenet has a top-1 of ")
    assert '"published_top1": 0.5' in figures.read_text()
    done = evaluate(data, "--samples=40", "--nopublished")
    assert done.returncode == 0, done.stderr
    assert "published top-1" not in done.stdout


def test_a_figure_that_holds(weights, imagenet_folder):
    # One image, right or wrong, says next to nothing: half is within its interval.
    done = evaluate(imagenet_folder / "val", "--samples=1")
    assert done.returncode == 0, done.stderr
    assert "published top-1 of care_tiny_imagenet: 50.0%, within the 95 % interval" in done.stdout


def test_images_of_fewer_classes_say_nothing_of_it(weights, tmp_path, imagenet_folder):
    names = sorted(folder.name for folder in (imagenet_folder / "val").iterdir())
    (tmp_path / "labels.txt").write_text("\n".join(names))
    (tmp_path / "photos").mkdir()
    for name in names[:2]:
        (tmp_path / "photos" / name).symlink_to(imagenet_folder / "val" / name)
    flags = (f"--labels={tmp_path / 'labels.txt'}", "--label_match=subset")
    done = evaluate(tmp_path / "photos", *flags)
    assert done.returncode == 0, done.stderr
    assert "50.0% of 1,000 classes, which says nothing of 2" in done.stdout
