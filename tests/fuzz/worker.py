"""Reads mutant after mutant of one format, in a process that may die; for `tflite.child.worker`."""

import os
import pathlib
import random
import resource
import shutil
import time
import traceback
import warnings
from collections.abc import Iterator

from tests.fuzz.formats import Format, find

_LONGEST_MESSAGE = 1000
# Between two answers: one for each mutant would take most of the time.
_ANSWER_SECONDS = 0.3


def work(request: dict) -> Iterator[dict]:
    """Reads the mutants of some numbers, or one file.

    Args:
        request: `format`; `seed`; `start` and `stop`, of the numbers; `folder`, to write to;
            `megabytes`, that reading one may take beside what the process has; `file`, to
            read it alone.

    Yields:
        `{"files": N}` once the sound files are made, or `skip`; then every moment what became of
        the mutants since the last answer: how many were `accepted` and `refused`, the seconds
        of the slowest one, the number of the `next`; of a finding what it is, `where`, `file`.
    """
    try:
        one = find(request["format"])
        corpus = _corpus(one, pathlib.Path(request["folder"]))
    except ImportError as error:
        yield {"skip": str(error)}
        return
    files = list(corpus.values())
    path = pathlib.Path(request["folder"], f"sound{one.suffix}")
    for content in files:
        path.write_bytes(content)
        if "finding" in (found := _judge(one, path)):
            yield {**found, "finding": f"a sound file: {found['finding']}"}
    yield {"files": len(files)}
    _limit(request["megabytes"])
    if request["file"]:
        yield _judge(one, pathlib.Path(request["file"]))
        return
    yield from _mutants(one, files, request, path)


def _mutants(one, files, request, path):
    """Reads them; the name of the file that is being read says which one may end the process."""
    counts, last = _nothing(), time.monotonic()
    for number in range(request["start"], request["stop"]):
        path = path.rename(path.with_name(f"mutant-{number}{one.suffix}"))
        path.write_bytes(mutant(one, files, request["format"], request["seed"], number))
        answer = _judge(one, path)
        if "finding" in answer:
            # The next one takes its place.
            kept = shutil.copyfile(path, path.with_name(f"finding-{number}{one.suffix}"))
            counts |= {**answer, "file": os.fspath(kept)}
        for kind in counts.keys() & answer.keys() & {"accepted", "refused"}:
            counts[kind] += 1
            counts["longest"] = max(counts["longest"], answer[kind])
        counts["next"] = number + 1
        if "finding" in answer or time.monotonic() - last > _ANSWER_SECONDS:
            yield counts
            counts, last = _nothing(), time.monotonic()
    yield counts


def _nothing():
    return {"accepted": 0, "refused": 0, "longest": 0.0}


def mutant(one: Format, files: list[bytes], name: str, seed: int, number: int) -> bytes:
    """The mutant of that number, always the same."""
    rng = random.Random(f"{name}/{seed}/{number}")
    return one.mutate(rng, rng.choice(files), files)


def _corpus(one, folder):
    """The sound files, made once for all workers of a format: some take long."""
    kept = folder / "corpus"
    if not kept.is_dir():
        making = folder / "making"
        making.mkdir(exist_ok=True)
        for number, content in enumerate(content for content in one.corpus().values() if content):
            (making / f"{number:04}").write_bytes(content)
        making.rename(kept)
    return {path.name: path.read_bytes() for path in sorted(kept.iterdir())}


def _limit(megabytes):
    """Bounds the memory that reading may take: beyond it the process has no more."""
    status = pathlib.Path("/proc/self/status").read_text()
    (data,) = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmData:")]
    limit = 1024 * data + (megabytes << 20)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _judge(one, path):
    """Reads a file: an error has to be the library's own, of one line that can be shown."""
    started = time.perf_counter()
    shown = []
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: shown.append(str(message))
        try:
            one.read(path)
        except Exception as error:
            problem, where = _problem(error, one.names_file), _where(error)
        else:
            problem, where = None, None
    seconds = time.perf_counter() - started
    if problem is None and shown:
        problem, where = f"a warning is shown: {shown[0][:200]}", "warnings"
    if problem:
        return {"finding": problem, "where": where}
    return {"accepted" if where is None else "refused": seconds}


def _problem(error, names_file):
    """What is wrong with an error, or `None`."""
    name, text = type(error).__name__, str(error)
    own = type(error).__module__.partition(".")[0] in ("care_keras", "tflite", "android_bench")
    if not own and type(error) is not ValueError:
        return f"{name}: {text[:200]!r}"
    if "\n" in text or "\r" in text:
        return f"{name} of several lines: {text[:200]!r}"
    if len(text) > _LONGEST_MESSAGE:
        return f"{name} of {len(text)} characters: {text[:200]!r}"
    if not text.strip() or (type(error) is ValueError and names_file and "Received: " not in text):
        return f"{name} that does not say of what: {text[:200]!r}"
    return None


def _where(error):
    """The last places in this repository and in all that an error went through: its kind."""
    frames = traceback.extract_tb(error.__traceback__)
    root = os.fspath(pathlib.Path(__file__).parents[2])
    own = [one for one in frames if one.filename.startswith(root) and "/tests/" not in one.filename]
    places = [f"{os.path.relpath(one.filename, root)}:{one.name}" for one in own[-1:]]
    return " ".join((type(error).__name__, *places, frames[-1].name))
