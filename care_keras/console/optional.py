"""Packages that only some commands need: whether they are there, and their imports."""

import importlib
import importlib.metadata
import importlib.util
import json
import shlex
import urllib.parse
import urllib.request
from types import ModuleType


class MissingDependencyError(ImportError):
    """An optional package is needed and not installed."""


def require(module: str, extra: str) -> ModuleType:
    """Imports an optional dependency at the moment it is needed.

    Args:
        module: Name of the module, `"torch"` or `"safetensors.numpy"`.
        extra: The extra of this package that installs it.

    Returns:
        The imported module.

    Raises:
        MissingDependencyError: If it is not installed; the message names the
            extra to install.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        # A module that is missing inside an installed package is another fault.
        if error.name not in (package, module):
            raise
        raise _missing(package, extra) from None


def is_installed(package: str) -> bool:
    """Whether a package is there; it is not imported."""
    return importlib.util.find_spec(package) is not None


def installed_version(package: str) -> str | None:
    """The version of a distribution, `None` if it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def require_installed(package: str, extra: str) -> None:
    """The same for a package that a child process will import.

    Args:
        package: Name of the package.
        extra: The extra of this package that installs it.

    Raises:
        MissingDependencyError: If it is not installed; the message names the
            extra to install.
    """
    if not is_installed(package):
        raise _missing(package, extra)


def _missing(package, extra):
    return MissingDependencyError(
        f"{package} is needed for this and not installed: {_install(extra)}"
    )


def _install(extra):
    """The command that installs an extra of this package, from where it was installed from."""
    url, is_editable = _origin()
    path = urllib.request.url2pathname(url.path) if url.scheme == "file" else "care_keras"
    option = "--editable " if is_editable else ""
    return f"pip install {option}{shlex.quote(f'{path}[{extra}]')}"


def _origin():
    """The address of the checkout or the file, empty for an index's, as pip notes it (PEP 610)."""
    # A checkout that is the working folder has metadata beside it too, without the address.
    found = importlib.metadata.distributions(name="care_keras")
    notes = (one.read_text("direct_url.json") for one in found)
    origin = json.loads(next(filter(None, notes), "{}"))
    is_editable = origin.get("dir_info", {}).get("editable", False)
    return urllib.parse.urlsplit(origin.get("url", "")), is_editable
