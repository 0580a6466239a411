"""The pages' code blocks: `python -m tests.doc_blocks --run` runs those that are marked so.

A comment right above a block, which no reader sees, says what becomes of it:

    <!-- run -->                 this command runs it, a step of `.ci/run`
    <!-- run by PATH -->         that file runs it
    <!-- not run: REASON -->     nothing does

Blocks without a language are what commands printed. Each page is run in a folder of its own, its
blocks one after the other. The files that they name, and do not make, are made before.
"""

import dataclasses
import os
import pathlib
import re
import resource
import shlex
import subprocess
import sys
import tempfile
import time

from absl import flags

if __name__ == "__main__":
    os.environ.setdefault("CARE_KERAS_COMMAND", "1")  # Without Keras, as the project's commands.

from care_keras.console import cli

ROOT = pathlib.Path(__file__).parents[1]
PAGES = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "*/README.md", "docs/*.md")
LANGUAGES = ("sh", "python", "kotlin")

# Names that no command has: tests run these in the process that has this module.
_RUN = flags.DEFINE_bool("run", False, "Run the blocks; without it they are listed.")
_PAGE = flags.DEFINE_multi_string("page", None, "Of these pages alone, as docs/convert.md.")
_SECONDS = flags.DEFINE_integer("block_seconds", 300, "Seconds for a block.", lower_bound=1)

_BLOCK = re.compile(
    r"^(?:<!-- (?P<mark>[^\n]*?) -->\n)?```(?P<language>\w+)\n(?P<code>.*?)^```$", re.M | re.S
)
_MARK = re.compile(r"run|run by (?P<path>\S+)|not run: (?P<reason>.+)", re.S)

# What blocks name and do not make: each by a command, in a folder that all pages share.
_NANO = "import care_keras; care_keras.CARE_Nano(weights='cifar10').save('model.keras')"
MADE = {
    "photos": "python -m tests.readme_example --photos",
    "model.keras": f'python -c "{_NANO}"',
    "care_nano_cifar10_int8.tflite": "python -m care_keras.convert --int8",
}
# Names that Python blocks use and leave to the reader.
NAMES = {
    "images": "import numpy\nfrom care_keras.data.sources import open_source as _open\n"
    "images = numpy.stack([_open('bundled', 'test')[i] for i in range(8)])",
}


@dataclasses.dataclass(frozen=True)
class Block:
    """A code block of a page.

    Attributes:
        page: Its page, below the root.
        line: Of the page, where its code begins.
        language: As the page says.
        code: Its lines.
        mark: The comment above it; none if there is none.
    """

    page: str
    line: int
    language: str
    code: str
    mark: str | None

    @property
    def runs(self) -> bool:
        return self.mark == "run"

    @property
    def run_by(self) -> str | None:
        """The file that runs it, below the root."""
        found = _MARK.fullmatch(self.mark or "")
        return found["path"] if found else None

    @property
    def is_marked(self) -> bool:
        return bool(_MARK.fullmatch(self.mark or ""))

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[pathlib.Path]:
    """The pages whose blocks are looked at."""
    return [path for pattern in PAGES for path in sorted(ROOT.glob(pattern))]


def blocks(page: pathlib.Path) -> list[Block]:
    """The code blocks of a page that say their language, in order."""
    text = page.read_text()
    return [
        Block(
            page=str(page.relative_to(ROOT)),
            line=text.count("\n", 0, match.start("code")) + 1,
            language=match["language"],
            code=match["code"],
            mark=match["mark"],
        )
        for match in _BLOCK.finditer(text)
        if match["language"] in LANGUAGES
    ]


def steps(found: list[Block]) -> list[list[Block]]:
    """The blocks to run; Python blocks that follow one another are one program."""
    result: list[list[Block]] = []
    for block in (block for block in found if block.runs):
        if result and block.language == result[-1][0].language == "python":
            result[-1].append(block)
        else:
            result.append([block])
    return result


def command(step: list[Block]) -> list[str]:
    """What runs a step: what is installed already, or prepared, is left out."""
    code = "".join(block.code for block in step)
    if step[0].language == "sh":
        return ["sh", "-ec", re.sub(r"^\S*pip install .*$", "", code, flags=re.M)]
    prepared = [f"{line}\n" for name, line in NAMES.items() if name in code]
    return [
        sys.executable,
        "-c",
        "".join(prepared) + re.sub(r"^\w+ = \.\.\. .*$", "", code, flags=re.M),
    ]


def main() -> None:
    """The command."""
    chosen = [
        path for path in pages() if not _PAGE.value or str(path.relative_to(ROOT)) in _PAGE.value
    ]
    with tempfile.TemporaryDirectory() as folder:
        shared = pathlib.Path(folder, "shared")
        shared.mkdir()
        for page in chosen:
            if not _RUN.value:
                for block in blocks(page):
                    print(f"{block}  {block.language}  {block.mark or 'NOT MARKED'}")
                continue
            place = pathlib.Path(tempfile.mkdtemp(dir=folder))
            for step in steps(blocks(page)):
                _make_what_it_names(step, place, shared)
                _run(str(step[0]), command(step), place)


def _make_what_it_names(step: list[Block], place: pathlib.Path, shared: pathlib.Path) -> None:
    code = "".join(block.code for block in step)
    for name, how in MADE.items():
        if not re.search(rf"={re.escape(name)}\b", code) or (place / name).exists():
            continue
        # `make demo` leaves its file in the root.
        made = (ROOT if (ROOT / name).exists() else shared) / name
        if not made.exists():
            _run(name, ["sh", "-ec", how], shared)
        (place / name).symlink_to(made)


def _run(what: str, words: list[str], place: pathlib.Path) -> None:
    """Runs a step, and says how long it took; what it prints is shown where it fails."""
    search = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    environment = {**os.environ, "PATH": search, "PYTHONPATH": os.fspath(ROOT)}
    environment.pop("CARE_KERAS_COMMAND", None)
    begun, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        done = subprocess.run(
            words,
            cwd=place,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_SECONDS.value,
        )
    except subprocess.TimeoutExpired as error:
        raise cli.CheckError(f"{what} took more than {_SECONDS.value} s") from error
    if done.returncode:
        print(done.stdout, file=sys.stderr)
        raise cli.CheckError(f"{what} gave exit code {done.returncode}: {shlex.join(words)[:500]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{time.monotonic() - begun:6.1f} s, {busy:6.1f} s of CPU  {what}", flush=True)


if __name__ == "__main__":
    cli.run(main)
