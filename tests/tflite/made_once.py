"""Files that take long to make are made once, for both workers of pytest-xdist."""

import atexit
import contextlib
import functools
import hashlib
import inspect
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable


def made_once(make: Callable[..., bytes]) -> Callable[..., bytes]:
    """Caches what `make` gives for its arguments, beyond the process where workers share a run.

    The key holds the source of its module too: a folder that outlives its run is not wrong.
    """

    @functools.cache
    def cached(*args, **kwargs):
        folder = _folder()
        if folder is None:
            return make(*args, **kwargs)
        source = inspect.getsource(inspect.getmodule(make))
        key = repr((make.__module__, make.__qualname__, args, sorted(kwargs.items()), source))
        path = folder / hashlib.sha256(key.encode()).hexdigest()
        # The worker that ends first takes the folder with it.
        with contextlib.suppress(FileNotFoundError):
            return path.read_bytes()
        content = make(*args, **kwargs)
        with contextlib.suppress(FileNotFoundError):
            # Two workers may make the same file: each is whole when it gets its name.
            with tempfile.NamedTemporaryFile(dir=folder, delete=False) as stream:
                stream.write(content)
            os.replace(stream.name, path)
        return content

    return functools.wraps(make)(cached)


@functools.cache
def _folder() -> pathlib.Path | None:
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    if run is None:
        return None
    path = pathlib.Path(tempfile.gettempdir(), f"care_keras_tests-{run}")
    path.mkdir(mode=0o700, exist_ok=True)
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path
