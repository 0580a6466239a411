"""Published weights in Keras's cache: fetched and imported once, and the same ever after."""

import contextlib
import datetime
import json
import os
import pathlib
import shutil
import tempfile
import time
from collections.abc import Iterator

from care_keras.console import optional
from care_keras.console.progress import say
from care_keras.download import (
    DownloadError,
    Limits,
    check_address,
    download,
    without_secrets,
)
from care_keras.files import parse_json, read_bytes, remove_leftovers, write_atomically
from care_keras.locks import try_lock
from care_keras.weights.files import import_checkpoint
from care_keras.weights.published import URL_VARIABLE, Published

# Importing and saving takes seconds; another process that holds the lock may do so.
_IMPORT_SECONDS = 600
# Of what the import says of a checkpoint that does not fit, which may name every entry.
_QUOTED = 300


def fetch(published: Published, limits: Limits | None = None) -> pathlib.Path:
    """The `.keras` file of published weights; at first use they are downloaded and imported.

    The sha256 of the checkpoint is recorded beside the file at first use, and a download of
    another is refused from then on, also once the file was removed. Nothing that ends it early
    leaves a file that is taken for whole, and of several processes one downloads.

    Args:
        published: Which.
        limits: When the download is given up.

    Returns:
        The file: a `CAREClassifier` in float32 that returns logits.

    Raises:
        ValueError: If they cannot be downloaded, are no checkpoint of that model or
            another than before, or the cache cannot be written to.
        MissingDependencyError: If what reads the checkpoint is not installed; said
            before the download.
    """
    path, limits = published.cached, limits or Limits()
    if path.is_file():
        return path
    url = published.url
    suffix = ".safetensors" if url.partition("?")[0].endswith(".safetensors") else ".pth.tar"
    optional.require_installed("safetensors" if suffix == ".safetensors" else "torch", "torch")
    try:
        check_address(url)
        path.parent.mkdir(parents=True, exist_ok=True)
        with _lock(path, limits.total_seconds + _IMPORT_SECONDS) as alone:
            # Another process may have been quicker.
            if not path.is_file():
                if alone:
                    _remove_leftovers(path)
                _fetch(published, url, suffix, limits)
    except DownloadError as error:
        raise ValueError(
            f"{published.name} cannot be fetched, {error}: {_way_out(published)}. "
            f"Received: {without_secrets(url)}"
        ) from error
    except OSError as error:
        raise ValueError(
            f"{published.name} cannot be kept in Keras's cache, which the variable KERAS_HOME "
            f"moves: {error.strerror or error}. Received: {path.parent}"
        ) from error
    return path


def _fetch(published, url, suffix, limits):
    path = published.cached
    with tempfile.TemporaryDirectory(prefix=_partial(path), dir=path.parent) as folder:
        checkpoint = pathlib.Path(folder, f"checkpoint{suffix}")
        staged = checkpoint.with_name("model.keras")
        source = without_secrets(url)
        sha256 = download(url, checkpoint, f"downloading {published.name} from {source}", limits)
        with open(checkpoint, "rb") as file:
            if file.read(64).lstrip()[:1] == b"<":
                raise DownloadError("a web page came instead of a checkpoint")
        known = _known(record := path.with_suffix(".json"))
        if known not in (None, sha256):
            raise ValueError(
                f"The checkpoint of {published.name} is another than at first use: sha256 {sha256} "
                f"now, {known} then; if that is known to be right, remove {record}. "
                f"Received: {source}"
            )
        _import(published, checkpoint, staged, source)
        if known is None:
            content = {
                "sha256": sha256,
                "size_bytes": checkpoint.stat().st_size,
                "url": source,
                "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            }
            write_atomically(record, json.dumps(content, indent=1) + "\n")
        os.replace(staged, path)


def _import(published, checkpoint, staged, source):
    try:
        import_checkpoint(published.arch, checkpoint, staged)
    except ValueError as error:
        # The import's own end is a path that is gone by then.
        said = str(error).partition(". Received: ")[0]
        said = said if len(said) <= _QUOTED else f"{said[:_QUOTED]} ..."
        raise ValueError(
            f"What came is no checkpoint of {published.name}: {said}; {_way_out(published)}. "
            f"Received: {source}"
        ) from error


def _way_out(published):
    return (
        f"set {URL_VARIABLE} to the folder where {published.file} lies, or to the file, or import "
        f"a file that you have by python -m care_keras.weights --model={published.arch}"
    )


def _known(record):
    """The sha256 that was recorded, `None` before the first use."""
    if not record.exists():
        return None
    try:
        known = parse_json(read_bytes(record))["sha256"]
    except (ValueError, TypeError, KeyError):
        known = None
    if not isinstance(known, str):
        raise ValueError(
            "The record of the weights' first use is damaged: remove it, if what is downloaded "
            f"then is known to be right. Received: {record}"
        )
    return known


@contextlib.contextmanager
def _lock(path: pathlib.Path, seconds: float) -> Iterator[bool]:
    """Waits until no other process fetches the file; false where locks are not to be had."""
    with open(path.with_name(f".{path.stem}.lock"), "w") as stream:
        end, told = time.monotonic() + seconds, False
        while (locked := try_lock(stream)) is False:
            if time.monotonic() > end:
                raise DownloadError("another process has held its lock for too long")
            if not told:
                told = True
                say(f"waiting for another process to fetch {path.stem}")
            time.sleep(0.2)
        yield bool(locked)


def _remove_leftovers(path):
    """What a kill in the middle of a download has left behind."""
    remove_leftovers(path.with_suffix(".json"))
    for leftover in path.parent.glob(f"{_partial(path)}*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _partial(path):
    return f".{path.stem}-"
