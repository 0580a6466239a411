"""The wheel, built and installed where the checkout is not: all that it holds, and its commands."""

import configparser
import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile

import pytest

from tests.needed import give_up
from tests.startup import CONSOLE, MISSING, measure, problems

ROOT = pathlib.Path(__file__).parents[2]
FOLDERS = ("android_bench", "care_keras", "care_keras_commands", "docs", "examples", "tests")
TOOLS = "care_keras_commands/tools/"
BUILD = "from setuptools import build_meta as b; b.build_sdist('dist'); b.build_wheel('dist')"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of the checkout, so that nothing that was built before is in what is built here."""
    folder = tmp_path_factory.mktemp("source")
    for name in (*FOLDERS, "tflite"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in ROOT.iterdir():
        kept = path.suffix in (".md", ".cfg", ".toml", ".py", ".in") or path.name.isalpha()
        if path.is_file() and (kept or path.name.startswith(".bazel")):
            shutil.copy(path, folder)
    return folder


@pytest.fixture(scope="module")
def built(source):
    """The folder with the wheel and the source distribution."""
    for name in ("pip", "setuptools"):
        if importlib.util.find_spec(name) is None:
            give_up(f"{name} is not installed, which builds or installs the wheel")
    files = sorted(path for path in source.rglob("*") if path.is_file())
    checked([sys.executable, "-c", BUILD], source)
    (source / "files").write_text("\n".join(str(path.relative_to(source)) for path in files))
    return source / "dist"


@pytest.fixture(scope="module")
def scripts(built, tmp_path_factory):
    """The folder of programs of an environment with the wheel and the packages of this one."""
    folder = tmp_path_factory.mktemp("installed")
    checked([sys.executable, "-m", "venv", "--without-pip", folder], folder)
    (site,) = (folder / "lib").glob("python3*/site-packages")
    # `.pth` files that lie there are not read: an editable installation is none here.
    (site / "base.pth").write_text(
        f"{sysconfig.get_path('purelib')}\n{sysconfig.get_path('platlib')}"
    )
    pip = [sys.executable, "-m", "pip", "--python", folder / "bin/python", "install"]
    checked([*pip, "--quiet", "--no-deps", "--no-index", *built.glob("*.whl")], folder)
    plant(site, "tflite")
    return folder / "bin"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where commands are typed: folders lie here that have our packages' names."""
    folder = tmp_path_factory.mktemp("elsewhere")
    for name in ("care_keras", "care_keras_commands", "tflite", "android_bench"):
        plant(folder, name)
    return folder


def plant(folder, name):
    """Puts a package there that is not ours: importing it is an error."""
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text("raise ImportError('another one of this name')")


def call(words, folder, **environment):
    inherited = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(
        [*map(str, words)],
        cwd=folder,
        env=inherited | environment,
        capture_output=True,
        text=True,
        timeout=600,
    )


def checked(words, folder):
    done = call(words, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_everything_is_in_the_source_distribution(source, built):
    files = (source / "files").read_text().splitlines()
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert (
        "tests/golden/make_model.py" in files and [one for one in files if one not in names] == []
    )


def test_everything_is_in_the_wheel(source, built):
    (path,) = built.glob("*.whl")
    names = set(zipfile.ZipFile(path).namelist())
    places = {"care_keras": "", "care_keras_commands": "", "tflite": TOOLS, "android_bench": TOOLS}
    wanted = {
        places[file.partition("/")[0]] + file
        for file in (source / "files").read_text().splitlines()
        if file.partition("/")[0] in places
    }
    # Of the checkout: Bazel's, and what GitHub shows.
    wanted -= {f"{TOOLS}tflite/BUILD", f"{TOOLS}android_bench/README.md"}
    assert wanted - names == set()
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {
        "care_keras",
        "care_keras_commands",
    }


def test_the_library_is_the_installed_one(scripts, folder):
    code = "import care_keras; print(care_keras.__file__, 'CARE_Nano' in dir(care_keras))"
    # A command's mark leaves Keras out.
    done = call([scripts / "python", "-P", "-c", code], folder, CARE_KERAS_COMMAND="1")
    file, named = done.stdout.split()
    assert pathlib.Path(file).is_relative_to(scripts.parent) and named == "True"


def test_each_command_that_is_declared_is_there(scripts, folder):
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    lines = parser["options.entry_points"]["console_scripts"].split("\n")
    names = [line.partition("=")[0].strip() for line in lines if line]
    assert {command.split()[0] for command in CONSOLE} == set(names)
    for name in names:
        assert name in checked([scripts / name, "--help"], folder)


@pytest.mark.parametrize("command", CONSOLE)
def test_commands_answer_at_once_and_in_one_line(scripts, command):
    assert problems(command, scripts) == []
    if command.startswith("care-tflite"):
        assert "`care-tflite audit --model=M.tflite`" in measure(command, scripts)[0].output


def test_the_tools_are_listed(scripts, folder):
    listed = checked([scripts / "care-tflite"], folder)
    assert checked([scripts / "care-tflite", "--help"], folder) == listed
    tools = {name.split(".")[1] for name in MISSING if name.startswith("tflite.")}
    lines = listed.split("\n\n")[1].splitlines()
    assert {line.split()[0] for line in lines} == tools
    assert "python -m" not in listed and all(len(line.split()) > 4 for line in lines)


@pytest.mark.parametrize("word", ["wrong", "child", "zoo.worker", "../tflite/audit", ""])
def test_there_is_no_such_tool(scripts, folder, word):
    done = call([scripts / "care-tflite", word], folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: there is no tool {word!r}: it is one of\narm64 ")


@pytest.fixture(scope="module")
def converted(scripts, folder):
    """The bundled model's int8 file."""
    flags = ["--samples=16", "--check_samples=8", "--output=m.tflite"]
    assert "wrote m.tflite" in checked([scripts / "care-convert", "--int8", *flags], folder)
    return "m.tflite"


def test_a_file_is_converted_and_audited(scripts, folder, converted):
    audit = [scripts / "care-tflite", "audit", "--int8", f"--model={converted}"]
    shown = checked(audit, folder)
    # XNNPACK is asked in a process of its own.
    assert "integer-only    yes" in shown and "XNNPACK of LiteRT" in shown
    assert call(audit, folder, PYTHONSAFEPATH="1").stdout == shown


# What a command that needs a process does, in the place of the module that is to run.
STARTS_A_PROCESS = """
import runpy, subprocess
from care_keras_commands.launch import launch

def run_module(*_, **__):
    from care_keras.console.launched import own_module
    subprocess.run([*own_module("tflite.zoo"), "--help"], check=True)

runpy.run_module = run_module
launch("tflite.zoo")
"""


def test_processes_that_a_command_starts_find_the_same(scripts, folder):
    shown = checked([scripts / "python", "-P", "-c", STARTS_A_PROCESS], folder)
    assert "`care-tflite zoo`" in shown


def test_a_module_of_the_users_own_is_found_where_a_command_is_typed(scripts, folder, converted):
    (folder / "of_mine.py").write_text("raise RuntimeError('this is mine')")
    flags = [f"--model={converted}", "--data=bundled:test", "--import=of_mine"]
    words = [scripts / "care-tflite", "evaluate", *flags]
    line = "error: --import=of_mine cannot be imported: "
    assert call(words, folder).stderr == f"{line}RuntimeError: this is mine\n"
    done = call(words, folder, PYTHONSAFEPATH="1")
    assert done.returncode == 2
    assert done.stderr == f"{line}ModuleNotFoundError: No module named 'of_mine'\n"
