import contextlib
import resource

import pytest


@pytest.fixture
def full_disk():
    """A context in which no file can grow beyond 100 kB, as on a disk that fills up."""

    @contextlib.contextmanager
    def limited():
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited
