"""The commands of a shell block, and whether there is such a command with such flags.

As a program, `python -m tests.doc_commands MODULE...`, it reads lists of words from stdin as JSON
and prints what is wrong with each: absl parses them as the module would, which itself is not run.
"""

import configparser
import dataclasses
import functools
import importlib.util
import json
import os
import pathlib
import re
import runpy
import shlex
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]
OURS = ("care_keras", "tflite", "android_bench", "tests", "examples")

_HEREDOC = re.compile(r"<<'(\w+)'\n.*?^\1$", re.M | re.S)
_ENDS = {";", "&&", "||", "|", "<", "<<", ">", "&", "(", ")", "do", "done"}


@dataclasses.dataclass(frozen=True)
class Command:
    """A program and its words."""

    program: str
    words: tuple[str, ...]


def commands(code: str) -> list[Command]:
    """The commands of a shell block, without what is fed into them and the settings before them."""
    found = []
    lines = _HEREDOC.sub("<", code).replace("\\\n", " ").splitlines()
    for line in lines:
        words = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars=True)
        words.whitespace_split = True
        command: list[str] = []
        for word in [*words, ";"]:
            if word not in _ENDS:
                command.append(word)
                continue
            while command and re.match(r"[A-Z_]+=", command[0]):
                del command[0]
            if command:
                found.append(Command(os.path.basename(command[0]), tuple(command[1:])))
            command = []
    return found


def complaints(found: list[Command]) -> list[str]:
    """What is wrong with them, as far as that shows without running them."""
    by_module: dict[tuple[str, ...], list[list[str]]] = {}
    wrong = []
    for command in found:
        words = list(command.words)
        if command.program == "make":
            wrong += _make(words)
        elif command.program == "pip" or words[:3] == ["-m", "pip", "install"]:
            wrong += _pip(words)
        elif re.fullmatch(r"python3?", command.program) and words[:1] == ["-c"]:
            compile(words[1], "a page", "exec")
        elif re.fullmatch(r"python3?", command.program) and words[:1] == ["-m"]:
            module, words = words[1], words[2:]
            if module.partition(".")[0] not in OURS:
                continue
            if importlib.util.find_spec(module) is None:
                wrong.append(f"there is no module {module}")
                continue
            # Without a word a command is named, as it is in a sentence.
            if words in ([], ["..."]) or (module != "android_bench" and not _has_flags(module)):
                continue
            word = words[:1] if module == "android_bench" else []
            by_module.setdefault((module, *word), []).append(words[len(word) :])
        elif re.fullmatch(r"python3?", command.program) and words[:1] not in ([], ["-"]):
            wrong += [] if (ROOT / words[0]).is_file() else [f"there is no {words[0]}"]
    for module, lists in by_module.items():
        wrong += _flags(module, lists)
    return wrong


def _make(words: list[str]) -> list[str]:
    text = (ROOT / "Makefile").read_text()
    wrong = []
    for word in words:
        name, is_variable, _ = word.partition("=")
        defined = rf"^{re.escape(name)} \?=" if is_variable else rf"^{re.escape(name)}:"
        if not re.search(defined, text, re.M):
            wrong.append(f"make knows no {name}")
    return wrong


def _pip(words: list[str]) -> list[str]:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    extras = {
        extra
        for word in words
        for group in re.findall(r"^(?:\.|care_keras)\[(.*)\]$", word)
        for extra in group.split(",")
    }
    return [
        f"setup.cfg has no extra {name}"
        for name in sorted(extras - {*setup["options.extras_require"]})
    ]


def _has_flags(module: str) -> bool:
    """Whether it parses flags as the product's commands do; no other is run to see."""
    found = importlib.util.find_spec(module)
    if found.submodule_search_locations:
        found = importlib.util.find_spec(f"{module}.__main__")
    return "cli.run(" in pathlib.Path(found.origin).read_text()


def _flags(module: tuple[str, ...], lists: list[list[str]]) -> list[str]:
    """What absl says of the words, in a process of its own: modules define flags of one name."""
    return list(_parsed(module, json.dumps(lists)))


@functools.cache
def _parsed(module: tuple[str, ...], lists: str) -> tuple[str, ...]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.doc_commands", *module],
        input=lists,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    if done.returncode:
        raise RuntimeError(f"{module}: {done.stderr}")
    return tuple(json.loads(done.stdout))


def main() -> None:
    """Parses the words of stdin by the flags of a module."""
    os.environ["CARE_KERAS_COMMAND"] = "1"
    from care_keras.console import cli

    lists = json.load(sys.stdin)
    cli.run = functools.partial(_report, lists)
    name = sys.argv[1]
    sys.argv = sys.argv[1:]
    runpy.run_module(name, run_name="__main__", alter_sys=True)


def _report(lists, command, arguments=(), input_errors=()) -> None:
    from absl import flags

    wrong = []
    for words in lists:
        flags.FLAGS.unparse_flags()
        # Dots are for flags that a page leaves out.
        is_whole = "..." not in words
        words = [word for word in words if word != "..." and not word.startswith("--flagfile")]
        try:
            rest = flags.FLAGS(["page", *words])[1:]
        except flags.Error as error:
            if is_whole or "must have a value" not in str(error):
                wrong.append(f"{shlex.join(words)}: {str(error).splitlines()[0]}")
            continue
        if is_whole and len(rest) != len(arguments):
            wrong.append(f"{shlex.join(words)}: takes {len(arguments)} words, got {rest}")
    print(json.dumps(wrong))


if __name__ == "__main__":
    main()
