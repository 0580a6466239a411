"""Real data for the tests: `CARE_KERAS_TEST_DATA` names its folder.

The folder holds `golden/`, `tfds/`, `imagenet_sample/` and `dense/`. Tests that need one
of them are skipped without it, or fail if `CARE_KERAS_REQUIRE_DATA=1`.
"""

import gc
import itertools
import os
import pathlib
import subprocess
import types
from collections import Counter
from unittest import mock

import pytest

from tests import tiers
from tests.needed import give_up
from tests.web_server import serve

# Tiny models spend their time in XLA's compiler, not in what it compiles.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
if os.environ.get("KERAS_BACKEND") == "jax":
    # The newer emitters of its CPU compiler take twice the time of the older ones.
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false")
# PyTorch's threads wait for one another by spinning: on busy cores ten times the work of one.
os.environ.setdefault("OMP_NUM_THREADS", "1")


TESTS = pathlib.Path(__file__).parent


def _data_folder(name: str) -> pathlib.Path:
    root = os.environ.get("CARE_KERAS_TEST_DATA")
    if root and pathlib.Path(root, name).is_dir():
        return pathlib.Path(root, name)
    give_up(f"needs the folder {name}/ in CARE_KERAS_TEST_DATA={root or ''}")


@pytest.fixture(scope="session")
def golden_folder() -> pathlib.Path:
    """Golden vectors of the published implementation."""
    return _data_folder("golden")


@pytest.fixture(scope="session")
def imagenet_folder() -> pathlib.Path:
    """One real photo per ImageNet class, in image-folder layout under `val`."""
    return _data_folder("imagenet_sample")


@pytest.fixture(scope="session")
def dense_folder() -> pathlib.Path:
    """Real photos with boxes (`bccd`, `coco_mini`) and maps of classes (`camvid`)."""
    return _data_folder("dense")


@pytest.fixture(scope="session")
def tfds_folder() -> pathlib.Path:
    """Prepared TFDS data sets; TFDS finds them while the tests run."""
    folder = _data_folder("tfds")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFDS_DATA_DIR", os.fspath(folder))
        yield folder


@pytest.fixture(autouse=True)
def _environment_as_it_was():
    """What the code under test sets in `os.environ` ends with the test."""
    with mock.patch.dict(os.environ):
        yield


@pytest.fixture(scope="module")
def server():
    """A web server of this machine, which answers what a test tells it."""
    with serve({}) as running:
        yield running


@pytest.fixture
def converter_here(monkeypatch):
    """TensorFlow's converter in this process: another one takes nine seconds to import it.

    What `in_child` is for, a converter that dies, is not looked at where this is used.
    """
    from care_keras.convert import in_child, tensorflow_worker

    def run(command, **_):
        code, said = 0, ""
        try:
            tensorflow_worker.main(pathlib.Path(command[-1]))
        except SystemExit as end:
            code = end.code
        except ValueError as error:
            code, said = 1, f"error: {error}"
        return subprocess.CompletedProcess(command, code, "", said)

    monkeypatch.setattr(in_child, "subprocess", types.SimpleNamespace(run=run))


def pytest_collection_finish(session):
    """Looking through TensorFlow's objects for garbage was a tenth of the tests' time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def pytest_addoption(parser):
    parser.addoption(
        "--every",
        type=int,
        default=1,
        metavar="N",
        help="Of each test's cases the first and every Nth after it: all tests, fewer cases.",
    )
    parser.addoption(
        "--tier",
        choices=tiers.TIERS,
        default="all",
        help="fast: without the tests of slow.txt, every third case; rest: what fast leaves out.",
    )


def pytest_configure(config):
    for marker in (
        "slow: more than three seconds by tests/slow.txt",
        "every_backend: slow, and run by CI under each backend all the same",
    ):
        config.addinivalue_line("markers", marker)


def pytest_collection_modifyitems(config, items):
    """Leaves tests out as the options say; skips what a backend cannot; long files come first."""
    import keras

    seconds = tiers.read()
    for item in items:
        if tiers.test_name(item.nodeid) in seconds:
            item.add_marker(pytest.mark.slow)
    _leave_out(config, items)
    # Begun last, one process would wait for the other.
    names = {(item.path, tiers.test_name(item.nodeid)) for item in items}
    longest = Counter()
    for path, name in names:
        longest[path] += seconds.get(name, 0)
    items.sort(key=lambda item: -longest[item.path])
    if keras.backend.backend() == "tensorflow":
        return
    skip = pytest.mark.skip(reason="only the TensorFlow backend makes a .tflite")
    for item in items:
        if {"android_bench", "convert", "tflite"} & set(item.path.relative_to(TESTS).parts):
            item.add_marker(skip)


def _leave_out(config, items):
    """What `--every` and `--tier` do."""
    tests = [(item.nodeid, bool(item.get_closest_marker("slow"))) for item in items]
    runs = tiers.chosen(tests, config.getoption("tier"), config.getoption("every"))
    config.hook.pytest_deselected(items=list(itertools.compress(items, [not run for run in runs])))
    items[:] = itertools.compress(items, runs)
