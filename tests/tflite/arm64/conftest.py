"""What `python -m tflite.arm64 --setup` has put in place; tests skip without it."""

import pytest

from care_keras.files import user_cache
from tests.needed import give_up
from tflite.arm64.cache import Cache
from tflite.arm64.emulator import find_emulator
from tflite.arm64.pins import DEFAULT_RUNTIME


@pytest.fixture(scope="session")
def emulator():
    return _find(lambda cache: find_emulator(cache, DEFAULT_RUNTIME))


@pytest.fixture(scope="session")
def counter():
    from tflite.arm64.count.setup import find_counter

    return _find(find_counter)


def _find(find):
    try:
        return find(Cache(user_cache("arm64")))
    except ValueError as error:
        give_up(f"python -m tflite.arm64 --setup has not been run: {error}")
