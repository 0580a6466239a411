import json

import pytest

from care_keras.console import optional


def test_an_installed_module_is_returned():
    assert optional.require("json", extra="any") is json


def test_a_missing_package_names_its_extra():
    with pytest.raises(
        optional.MissingDependencyError,
        match=r"^no_such_package is needed .*: pip install 'care_keras\[some\]'$",
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
    with pytest.raises(optional.MissingDependencyError, match=r"'care_keras\[some\]'$"):
        optional.require_installed("no_such_package", extra="some")
