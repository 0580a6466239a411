"""Imports of packages that only some commands need."""

import importlib
import importlib.util
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


def require_installed(package: str, extra: str) -> None:
    """The same for a package that a child process will import.

    Args:
        package: Name of the package.
        extra: The extra of this package that installs it.

    Raises:
        MissingDependencyError: If it is not installed; the message names the
            extra to install.
    """
    if importlib.util.find_spec(package) is None:
        raise _missing(package, extra)


def _missing(package, extra):
    return MissingDependencyError(
        f"{package} is needed for this and not installed: pip install 'care_keras[{extra}]'"
    )
