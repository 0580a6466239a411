"""Runs the core of the tests on other versions: `python -m tests.canary --set=nightly`.

Sets: `lowest`, the lower bounds of setup.cfg; `newest`, what the registry has; `nightly`, the same
with the packages of each night in the place of those that have some. Each gets an environment of
its own below --folder. A table says what was installed and what broke. Exit code 1 if tests failed.
"""

import configparser
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET

from absl import flags

os.environ.setdefault("CARE_KERAS_COMMAND", "1")  # Without Keras, as the project's commands.

from care_keras.console import cli
from care_keras.console.table import format_table

ROOT = pathlib.Path(__file__).parents[1]
# What is not needed to run the core, and large or of one system only.
_EXTRAS = ("jax", "torch", "test")
NIGHTLY = {"ai-edge-litert": "ai-edge-litert-nightly", "keras": "keras-nightly"}
# The core: fast tests that go through each library, by the package that they would break with.
CORE = {
    "ai-edge-litert": ("care_keras/litert/test_file.py", "tflite/child/test_litert_file.py"),
    "flatbuffers": ("care_keras/tflite_file/test_reader.py",),
    "keras": ("care_keras/models/test_keras_file.py", "care_keras/layers/test_layer_scale.py"),
    "tensorflow": ("care_keras/convert/test_conversion.py",),
    "ml_dtypes": ("care_keras/tflite_file/test_sparsity.py",),
    "numpy": ("care_keras/reference/test_tables.py", "care_keras/test_metrics.py"),
    "pillow": ("care_keras/data/test_preprocessing.py",),
    "safetensors": ("care_keras/weights/test_checkpoint.py",),
    "absl-py": ("care_keras/console/test_flag_values.py",),
    "adbutils": ("android_bench/phone/test_device.py",),
    "matplotlib": ("android_bench/report/test_contents.py",),
}
# Under the other backends, in a run of their own each.
BACKENDS = dict.fromkeys(("jax", "torch"), ("care_keras/layers/test_linear_attention.py",))
_INSTALL_SECONDS, _TEST_SECONDS = 3600, 1800

_SET = flags.DEFINE_enum("set", None, ["lowest", "newest", "nightly"], "Versions.", required=True)
_FOLDER = flags.DEFINE_string(
    "folder", ".cache/canary", "Where the environments are made; what is there is used again."
)
_BASE = flags.DEFINE_string(
    "base", None, "A Python whose packages are used where their versions are the ones asked for."
)

_HEADERS = ("package", "asked for", "installed", "passed", "failed", "skipped", "first error")


def main() -> None:
    """The command."""
    bounds = lower_bounds((ROOT / "setup.cfg").read_text())
    python = _environment(pathlib.Path(_FOLDER.value, _SET.value), _BASE.value)
    asked, notes = _install(python, bounds, _SET.value)
    results = _run(python, [file for files in CORE.values() for file in files], "tensorflow")
    for backend, files in BACKENDS.items():
        results |= {(backend, *key): one for key, one in _run(python, files, backend).items()}
    rows = [
        [name, asked[name], _installed(python, asked[name]), *_figures(name, results)]
        for name in bounds
    ]
    print(format_table(_HEADERS, rows))
    for note in notes:
        print(note)
    failed = sum(row[4] or 0 for row in rows)
    if failed:
        raise cli.CheckError(f"{failed} tests of the core fail with the {_SET.value} versions")


def lower_bounds(text: str) -> dict[str, str]:
    """Packages of the core with the bounds that setup.cfg sets them.

    Raises:
        UserError: If a requirement is written in another way than `NAME>=VERSION`.
    """
    parser = configparser.ConfigParser()
    parser.read_string(text)
    lines = parser["options"]["install_requires"].splitlines()
    for extra in _EXTRAS:
        lines += parser["options.extras_require"][extra].splitlines()
    bounds = {}
    for line in filter(None, map(str.strip, lines)):
        found = re.fullmatch(r"([\w.-]+)>=([\w.]+)", line)
        if not found:
            raise cli.UserError(f"setup.cfg has a requirement that is no NAME>=VERSION: {line}")
        bounds[found[1]] = found[2]
    return bounds


def _environment(folder, base):
    """The Python of an environment, made if it is not there."""
    python = folder.absolute() / "bin" / "python"
    if not python.exists():
        say(f"making {folder}")
        _checked([sys.executable, "-m", "venv", "--without-pip", folder])
    (site,) = (folder / "lib").glob("python3*/site-packages")
    link = site / "base.pth"
    link.unlink(missing_ok=True)
    if base:
        code = "import sysconfig; print(sysconfig.get_path('purelib'))"
        # Of the same name in both, the environment's own comes first on the path.
        link.write_text(_checked([base, "-c", code]))
    return os.fspath(python)


def _install(python, bounds, chosen):
    """What was asked for, by package, and lines on what could not be had."""
    if chosen == "lowest":
        asked = {name: f"{name}=={bound}" for name, bound in bounds.items()}
    else:
        asked = dict.fromkeys(bounds)
        asked = {name: name for name in asked}
    notes = []
    for name, nightly in NIGHTLY.items() if chosen == "nightly" else ():
        # A night's wheel is a version before a release.
        if _pip(python, "--pre", "--upgrade", "--no-deps", nightly):
            notes.append(f"{nightly} is not to be had from the registry: {name} is the newest one")
        else:
            asked[name] = nightly
    plain = [one for name, one in asked.items() if one != NIGHTLY.get(name)]
    say(f"installing {len(plain)} packages")
    upgrade = [] if chosen == "lowest" else ["--upgrade"]
    if reason := _pip(python, *upgrade, *plain):
        # One that is missing must not hide what the others break.
        for one in plain:
            if reason := _pip(python, *upgrade, one):
                notes.append(f"{one} cannot be installed: {reason}")
    for name, nightly in NIGHTLY.items():
        if asked[name] == nightly:
            # Other packages may have brought the release along, over the same files.
            _pip(python, "--pre", "--force-reinstall", "--no-deps", nightly)
    return asked, notes


def _pip(python, *arguments):
    """Why pip cannot install something, in one line; empty if it can."""
    words = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
    done = subprocess.run(
        [*words, "install", "--quiet", *arguments],
        capture_output=True,
        text=True,
        timeout=_INSTALL_SECONDS,
    )
    if not done.returncode:
        return ""
    lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
    return (lines or done.stderr.splitlines() or ["no output"])[-1].removeprefix("ERROR: ")[:200]


def _run(python, files, backend):
    """Results of tests by file: passed, failed, skipped, and the first error in one line."""
    say(f"running {len(files)} test files under {backend}")
    environment = {
        name: value for name, value in os.environ.items() if name != "CARE_KERAS_COMMAND"
    }
    with tempfile.TemporaryDirectory() as folder:
        report = pathlib.Path(folder, "results.xml")
        paths = [os.fspath(ROOT / "tests" / file) for file in files]
        done = subprocess.run(
            [
                python,
                "-m",
                "pytest",
                "-q",
                "-p",
                "no:cacheprovider",
                f"--junitxml={report}",
                *paths,
            ],
            cwd=ROOT,
            env=environment | {"KERAS_BACKEND": backend},
            capture_output=True,
            text=True,
            timeout=_TEST_SECONDS,
        )
        if not report.exists():
            line = (done.stderr.strip().splitlines() or ["pytest does not start"])[-1]
            return {(file,): [0, 1, 0, line[:200]] for file in files}
        return _results(ET.parse(report).getroot(), files)


def _results(report, files):
    results = {(file,): [0, 0, 0, None] for file in files}
    for case in report.iter("testcase"):
        # A file that cannot be imported is a case without a class.
        place = (case.get("classname") or case.get("name")).removeprefix("tests.")
        key = (f"{place.replace('.', '/')}.py",)
        counts = results.setdefault(key, [0, 0, 0, None])
        problems = [one for one in case if one.tag in ("failure", "error")]
        if problems:
            counts[1] += 1
            first = (problems[0].get("message") or "").strip().splitlines() or ["no message"]
            counts[3] = counts[3] or f"{case.get('name')}: {first[0][:120]}"
        else:
            counts[2 if any(one.tag == "skipped" for one in case) else 0] += 1
    return results


def _figures(name, results):
    """The figures of a package's tests, `None` of one that has none of its own."""
    keys = [(file,) for file in CORE.get(name, ())]
    keys += [(name, file) for file in BACKENDS.get(name, ())]
    counts = [results[key] for key in keys]
    if not counts:
        return [None] * 4
    errors = [one[3] for one in counts if one[3]]
    return [
        *(sum(one[place] for one in counts) for place in range(3)),
        errors[0] if errors else None,
    ]


def _installed(python, requirement):
    name = re.split("==", requirement)[0]
    code = f"import importlib.metadata as m; print(m.version({name!r}))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True)
    return done.stdout.strip() or None


def _checked(words):
    done = subprocess.run([*map(str, words)], capture_output=True, text=True)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no output"]
        raise cli.UserError(f"{words[0]} fails: {lines[-1]}")
    return done.stdout


def say(text: str) -> None:
    """A line of progress."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    cli.run(main)
