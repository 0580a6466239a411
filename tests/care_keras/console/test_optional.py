import importlib.metadata
import json

import pytest

from care_keras.console import optional


def test_an_installed_module_is_returned():
    assert optional.require("json", extra="any") is json


def test_a_missing_package_names_its_extra():
    with pytest.raises(
        optional.MissingDependencyError,
        match=r"^no_such_package is needed .*: pip install .*\[some\]'$",
    ):
        optional.require("no_such_package.part", extra="some")


def test_a_fault_inside_an_installed_package_is_not_hidden(tmp_path, monkeypatch):
    (tmp_path / "broken_package.py").write_text("import no_such_dependency")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency") as error:
        optional.require("broken_package", extra="some")
    assert not isinstance(error.value, optional.MissingDependencyError)


def test_a_package_for_a_child_process_is_looked_for_without_an_import():
    optional.require_installed("json", extra="any")
    with pytest.raises(optional.MissingDependencyError, match=r"\[some\]'$"):
        optional.require_installed("no_such_package", extra="some")


WHEEL = "file:///home/me/care%20keras/dist/care_keras-1.0-py3-none-any.whl"


@pytest.mark.parametrize(
    ("origin", "command"),
    [
        (None, "'care_keras[npu]'"),
        (
            {"url": "file:///home/me/care_keras", "dir_info": {"editable": True}},
            "--editable '/home/me/care_keras[npu]'",
        ),
        ({"url": "file:///home/me/care_keras", "dir_info": {}}, "'/home/me/care_keras[npu]'"),
        (
            {"url": WHEEL, "archive_info": {}},
            "'/home/me/care keras/dist/care_keras-1.0-py3-none-any.whl[npu]'",
        ),
        (
            {"url": "https://example.com/care_keras", "vcs_info": {"vcs": "git"}},
            "'care_keras[npu]'",
        ),
    ],
)
def test_the_command_installs_from_where_the_package_came(monkeypatch, origin, command):
    class Installed:
        def read_text(self, name):
            return json.dumps(origin) if origin and name == "direct_url.json" else None

    monkeypatch.setattr(importlib.metadata, "distributions", lambda name: iter([Installed()]))
    with pytest.raises(optional.MissingDependencyError) as error:
        optional.require("no_such_package", extra="npu")
    assert str(error.value).endswith(f": pip install {command}")
