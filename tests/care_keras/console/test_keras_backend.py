import importlib.util

import pytest

from care_keras.console import keras_backend
from care_keras.console.optional import MissingDependencyError


@pytest.fixture
def choose(monkeypatch, tmp_path, capsys):
    """What becomes of `KERAS_BACKEND`, and what is said of it."""

    def choose(installed, asked=None, settings=None):
        monkeypatch.setenv("KERAS_HOME", str(tmp_path))
        monkeypatch.delenv("KERAS_BACKEND", raising=False)
        if asked:
            monkeypatch.setenv("KERAS_BACKEND", asked)
        if settings is not None:
            (tmp_path / "keras.json").write_text(settings)
        found = {name: object() for name in installed}
        monkeypatch.setattr(importlib.util, "find_spec", found.get)
        keras_backend.choose_backend()
        return keras_backend.os.environ.get("KERAS_BACKEND"), capsys.readouterr().err

    return choose


@pytest.mark.parametrize(
    ("installed", "asked", "settings"),
    [
        (("tensorflow", "jax"), None, None),
        (("tensorflow", "jax"), "jax", None),
        (("torch",), None, '{"backend": "torch"}'),
        # Another of Keras's, which it may know.
        (("tensorflow",), "openvino", None),
    ],
)
def test_what_is_installed_is_left_alone(choose, installed, asked, settings):
    assert choose(installed, asked, settings) == (asked, "")


@pytest.mark.parametrize("settings", [None, '{"backend": "tensorflow"}', "{", "[]"])
def test_one_that_is_installed_is_taken(choose, settings):
    line = "tensorflow is not installed: going on with KERAS_BACKEND=torch\n"
    assert choose(("jax", "torch"), None, settings) == ("torch", line)


def test_settings_name_another_that_is_missing(choose):
    line = "jax is not installed: going on with KERAS_BACKEND=torch\n"
    assert choose(("torch",), None, '{"backend": "jax"}') == ("torch", line)


@pytest.mark.parametrize(
    ("installed", "asked", "message"),
    [
        ((), None, r"none is installed: pip install tensorflow, torch or jax$"),
        (("jax",), "tensorflow", r"^KERAS_BACKEND=tensorflow is set, .* set KERAS_BACKEND=jax, or"),
    ],
)
def test_what_cannot_be_chosen(choose, installed, asked, message):
    with pytest.raises(MissingDependencyError, match=message):
        choose(installed, asked)
