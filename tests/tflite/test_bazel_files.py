"""What can be held without a download: nothing here has been through Bazel's own 7.7.0."""

import pathlib
import re

import pytest

from tests.tflite.bazel_files import (
    archive_problems,
    bazelrc,
    calls,
    expand,
    undeclared_repositories,
    value_of,
)

ROOT = pathlib.Path(__file__).parents[2]
WORKSPACE = (ROOT / "WORKSPACE").read_text()
BUILD = (ROOT / "tflite/BUILD").read_text()
RC = bazelrc((ROOT / ".bazelrc").read_text())
# Bazel's names of the CPUs, and those of the platforms in TensorFlow's toolchains/android/BUILD.
ANDROID_CPUS = {
    "android_arm": "armeabi-v7a",
    "android_arm64": "arm64-v8a",
    "android_x86_64": "x86_64",
}


def test_archives_are_pinned():
    assert archive_problems(WORKSPACE) == []
    pinned = [given for function, _, given, _ in calls(WORKSPACE) if function == "http_archive"]
    assert {"litert", "org_tensorflow"} <= {given["name"] for given in pinned}


def test_repositories_are_declared_before_they_are_loaded_from():
    problems, known = undeclared_repositories(WORKSPACE)
    assert problems == []
    (load, label), (rule, _) = [(call[0], (call[1] or [""])[0]) for call in calls(BUILD)]
    assert (load, rule) == ("load", "native_binary") and label.startswith("@bazel_skylib//")
    source = calls(BUILD)[1][2]["src"]
    assert source[1:].split("//")[0] in known


def test_the_program_is_where_the_readme_says():
    # native_binary adds .exe to the name unless told otherwise.
    given = calls(BUILD)[1][2]
    assert given["name"] == given["out"] == "benchmark_model"
    assert given["src"] == "@litert//tflite/tools/benchmark:benchmark_model"
    assert "bazel-bin/tflite/benchmark_model" in BUILD


@pytest.mark.parametrize("config", ANDROID_CPUS)
def test_android_configs(config):
    cpu = ANDROID_CPUS[config]
    options = RC["build"] + expand(RC, config)
    assert value_of(options, "cpu") == value_of(options, "fat_apk_cpu") == cpu
    platforms = "@org_tensorflow//tensorflow/tools/toolchains/android"
    assert value_of(options, "platforms") == f"{platforms}:{cpu}"
    # Without toolchain resolution Bazel would compile for the phone with the host's compiler.
    assert value_of(options, "incompatible_enable_cc_toolchain_resolution") is True
    assert value_of(options, "incompatible_enable_android_toolchain_resolution") is True
    # Otherwise build:linux, which is the host's, would apply too.
    assert value_of(options, "enable_platform_specific_config") is False


def test_qs8_is_on_everywhere():
    assert "--define=tflite_with_xnnpack_qs8=true" in RC["build"]
    defines = [option for options in RC.values() for option in options if "xnnpack" in option]
    assert defines == ["--define=tflite_with_xnnpack_qs8=true"]


def test_the_gpu_delegate_of_the_host():
    options = RC["build"] + RC["build:linux"] + expand(RC, "host_gpu")
    assert "--copt=-DCL_DELEGATE_NO_GL" in options
    assert value_of(options, "incompatible_enable_cc_toolchain_resolution") is False
    # On Android it would take OpenGL, the fall-back of phones without OpenCL, away.
    for config in ANDROID_CPUS:
        assert "--copt=-DCL_DELEGATE_NO_GL" not in expand(RC, config)


def test_everything_is_optimized():
    first, second = RC["build"][:2]
    assert (first, second) == ("-c", "opt")


def test_the_python_of_the_build_has_requirements():
    (version,) = [
        option.rpartition("=")[2]
        for option in RC["common"]
        if option.startswith("--repo_env=HERMETIC_PYTHON_VERSION=")
    ]
    (requirements,) = [
        given["requirements"]
        for function, _, given, _ in calls(WORKSPACE)
        if function == "python_init_repositories"
    ]
    assert requirements[version].endswith(f"_{version.replace('.', '_')}.txt")


def test_bazels_version_and_what_it_ignores():
    assert re.fullmatch(r"[78]\.\d+\.\d+\n", (ROOT / ".bazelversion").read_text())
    # Bazel 8 reads no WORKSPACE unless asked to.
    assert (ROOT / ".bazelversion").read_text().startswith("7.")
    assert ".venv" in (ROOT / ".bazelignore").read_text().split()


def test_documented_configs_exist():
    for config in re.findall(
        r"bazel\w* build[^\n]*--config=(\w+)", (ROOT / "docs" / "measure.md").read_text()
    ):
        expand(RC, config)


GOOD = """
http_archive(
    name = "a",
    sha256 = "{sha256}",
    strip_prefix = "a-1.2",
    url = "https://example.org/a/v1.2.tar.gz",
)
load("@a//:a.bzl", "a")
""".format(sha256="0" * 64)


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        (GOOD.replace("0" * 64, "0" * 63), "is no sha256"),
        (re.sub("    sha256.*\n", "", GOOD), "neither a sha256 nor a comment"),
        (GOOD.replace("https", "http"), "is not https"),
        (GOOD.replace("v1.2", "v1.3"), "is not of 1.2"),
        (GOOD + GOOD, "a: twice"),
    ],
)
def test_a_broken_archive_is_found(broken, problem):
    assert archive_problems(GOOD) == []
    assert problem in archive_problems(broken)[0]


def test_an_archive_without_a_sum_may_say_so():
    unknown = "# Its sha256 could not be looked up." + re.sub("    sha256.*\n", "", GOOD)
    assert archive_problems("\n" + unknown) == []


def test_a_load_before_its_repository_is_found():
    assert undeclared_repositories(GOOD)[0] == []
    archive, load = GOOD.split("load")
    assert undeclared_repositories(f"load{load}\n{archive}")[0] == ["@a//:a.bzl"]


@pytest.mark.parametrize("line", ["biuld --copt=-w", "build", "build copt", "build:a b --copt=-w"])
def test_a_broken_bazelrc_is_found(line):
    with pytest.raises(ValueError, match="line 2"):
        bazelrc(f"# first\n{line}")


def test_configs_expand_in_order():
    options = bazelrc("build:a --cpu=x\nbuild:b --config=a\nbuild:b --nokeep\nbuild:a --keep")
    assert expand(options, "b") == ["--cpu=x", "--keep", "--nokeep"]
    assert value_of(expand(options, "b"), "keep") is False
    with pytest.raises(ValueError, match="Received: c"):
        expand(options, "c")
