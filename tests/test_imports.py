"""What `import care_keras` brings along, seen from a fresh interpreter."""

import json
import os
import pathlib
import subprocess
import sys

import keras
import pytest

ROOT = pathlib.Path(__file__).parents[1]

IMPORT = """
import json, sys, time
import keras

before, started = set(sys.modules), time.process_time()
import care_keras
seconds = time.process_time() - started

added = {name.partition(".")[0] for name in set(sys.modules) - before}
imported = set(sys.modules)

from care_keras.data.sources import open_source
open_source("bundled")
heavy = {"tensorflow", "tensorflow_datasets", "torch", "jax", "ai_edge_litert", "matplotlib"}
print(json.dumps({
    "seconds": seconds,
    "added": sorted(added - set(sys.stdlib_module_names)),
    "imported": sorted(heavy & imported),
    "after_opening_images": sorted(heavy & set(sys.modules)),
}))
"""


@pytest.fixture(scope="module")
def report():
    environment = os.environ | {"PYTHONPATH": os.fspath(ROOT)}
    environment.pop("CARE_KERAS_COMMAND", None)
    result = subprocess.run(
        [sys.executable, "-c", IMPORT],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert not result.returncode, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def test_adds_next_to_no_package_to_those_of_keras(report):
    assert report["added"] == ["care_keras", "lazy_loader"]


def test_adds_next_to_no_time(report):
    assert report["seconds"] < 0.3


def test_tensorflow_only_as_the_backend(report):
    assert ("tensorflow" in report["imported"]) == (keras.backend.backend() == "tensorflow")
    assert "tensorflow_datasets" not in report["imported"]


def test_images_need_nothing_heavy(report):
    assert report["after_opening_images"] == report["imported"]
