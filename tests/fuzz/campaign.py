"""Mutants of one format, read in workers that are watched from here."""

import dataclasses
import os
import pathlib
import re
import shutil
import tempfile
import time
from collections.abc import Callable

from tests.fuzz import worker
from tflite.child.worker import WorkerError, open_worker

# Making the sound files takes TensorFlow, on a busy machine.
_START_SECONDS = 300
# No file may hold its reader for longer, nor take more memory.
LIMIT_SECONDS = 10
LIMIT_MEGABYTES = 1024


@dataclasses.dataclass
class Campaign:
    """What became of a format's mutants.

    Attributes:
        format: Its name.
        seed: Of the mutants.
        files: Sound files that they were made of.
        mutants: How many were read.
        accepted: How many of them without an error.
        refused: How many with one that is as it shall be.
        seconds: It took in all, its start left out.
        longest: Seconds of the slowest one.
        findings: What is wrong with the first mutant of each kind of finding, by kind.
        skipped: Why none could be read, or `None`.
    """

    format: str
    seed: int
    files: int = 0
    mutants: int = 0
    accepted: int = 0
    refused: int = 0
    seconds: float = 0.0
    longest: float = 0.0
    findings: dict[str, str] = dataclasses.field(default_factory=dict)
    skipped: str | None = None

    def note(self, answer: dict, save_to: pathlib.Path) -> None:
        """Counts what became of the next mutants."""
        self.mutants = answer["next"]
        self.accepted += answer.get("accepted", 0)
        self.refused += answer.get("refused", 0)
        self.longest = max(self.longest, answer.get("longest", 0.0))
        if "finding" in answer and answer["where"] not in self.findings:
            file = pathlib.Path(answer["file"])
            label = self.format.replace(" ", "_").replace(":", "@")
            name = f"{label}-{self.seed}-{self.mutants - 1}{file.suffix}"
            save_to.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, save_to / name)
            self.findings[answer["where"]] = f"{answer['finding']} ({save_to / name})"


def run(
    name: str,
    seed: int,
    mutants: int,
    seconds: float,
    save_to: pathlib.Path,
    on_answer: Callable[[Campaign], None],
) -> Campaign:
    """Reads mutants until there are enough of them, or the time is up.

    Args:
        name: The format.
        seed: Of the mutants.
        mutants: How many, at most.
        seconds: How long, at most, from the first mutant on.
        save_to: Folder for mutants that are findings; made for the first.
        on_answer: Is called as there is something new.
    """
    found = Campaign(name, seed)
    with tempfile.TemporaryDirectory(prefix="care_keras_fuzz-") as folder:
        while found.mutants < mutants and found.seconds < seconds and found.skipped is None:
            request = _request(name, folder, seed=seed, start=found.mutants, stop=mutants)
            with open_worker(worker.__file__, request) as running:
                started, before = None, found.seconds
                try:
                    if not _started(found, running):
                        break
                    started = time.monotonic()
                    while found.mutants < mutants and found.seconds < seconds:
                        found.note(running.next(LIMIT_SECONDS), save_to)
                        found.seconds = before + time.monotonic() - started
                        on_answer(found)
                except WorkerError as error:
                    # Python itself fails of the mutations alone.
                    if started is None or not error.died:
                        raise
                    (file,) = pathlib.Path(folder).glob("mutant-*")
                    ended = {"finding": str(error), "where": error.ending, "file": os.fspath(file)}
                    number = int(re.match(r"mutant-(\d+)", file.name)[1])
                    found.note({**ended, "next": number + 1}, save_to)
                    file.unlink()
    return found


def _started(found, running):
    """Whether the worker has made the files; what is wrong with them is a finding."""
    while "files" not in (answer := running.next(_START_SECONDS)):
        if "finding" in answer:
            found.findings.setdefault(answer["where"], answer["finding"])
        else:
            found.skipped = answer.get("skip") or answer.get("error")
            return False
    found.files = answer["files"]
    return True


def _request(name, folder, seed=0, start=0, stop=0, file=None):
    return {
        "format": name,
        "folder": folder,
        "seed": seed,
        "start": start,
        "stop": stop,
        "file": file and os.path.abspath(file),
        "megabytes": LIMIT_MEGABYTES,
    }


def replay(path: pathlib.Path) -> dict:
    """Reads one saved file, in a worker: its answer, or the worker's end as a finding.

    Raises:
        ValueError: If it is no file that `run` has saved.
    """
    named = re.match(r"([a-z_.@]+)-\d+-\d+\.", path.name)
    if not named or not path.is_file():
        raise ValueError(f"--replay takes a file that --save_to has. Received: {path}")
    name = named[1].replace("@", ":") if "@" in named[1] else named[1].replace("_", " ")
    folder = tempfile.mkdtemp(prefix="care_keras_fuzz-")
    try:
        with open_worker(worker.__file__, _request(name, folder, file=path)) as running:
            try:
                while "files" not in running.next(_START_SECONDS):
                    pass
                return running.next(LIMIT_SECONDS)
            except WorkerError as error:
                return {"finding": str(error)}
    finally:
        shutil.rmtree(folder)
