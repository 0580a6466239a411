"""What not every machine has: tests skip without it, or fail if `CARE_KERAS_REQUIRE_DATA=1`."""

import importlib.util
import os
from typing import NoReturn

import pytest


def give_up(reason: str) -> NoReturn:
    """Ends a test, or all that need a fixture.

    Args:
        reason: What is missing, and how it comes.
    """
    if os.environ.get("CARE_KERAS_REQUIRE_DATA") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def need_package(package: str, extra: str) -> None:
    """Gives up where a package is not installed; it is not imported.

    Args:
        package: Name of the package.
        extra: The extra of ours that installs it.
    """
    if importlib.util.find_spec(package) is None:
        give_up(f"{package} is not installed: pip install '.[{extra}]'")
