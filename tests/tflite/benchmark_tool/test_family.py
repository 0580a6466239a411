"""Which of the two programs called benchmark_model one is, by its own word."""

import pytest

from tests.tflite import litert_program
from tests.tflite.benchmark_tool.test_log import LOGS
from tflite.benchmark_tool.family import FAMILIES, LITERT, TENSORFLOW, ask, identify

REAL_HELP = (LOGS / "run_09_help.log").read_text()
ANDROID_FLAGS = "\t--use_gpu=false\tbool\n\t--use_nnapi=false\tbool\n"
NEEDS = {
    "external": "/d/lib.so",
    "external_options": None,
    "nnapi_accelerator": None,
    "dispatch": "/d/libraries",
    "compiler": None,
}


def litert(*without):
    return identify("".join(litert_program.help_outputs(without)))


def test_the_real_program_of_tensorflow_lite():
    program = identify(REAL_HELP)
    assert program.family is TENSORFLOW and program.release is None
    assert program.fields() == {
        "family": "tensorflow",
        "program": "TensorFlow Lite's benchmark_model",
        "release": None,
    }
    assert program.delegate_flags("xnnpack", NEEDS) == ["--use_xnnpack=true"]
    assert program.delegate_flags("external", NEEDS) == ["--external_delegate_path=/d/lib.so"]
    given = NEEDS | {"external_options": "cache:1"}
    assert program.delegate_flags("external", given)[1] == "--external_delegate_options=cache:1"


@pytest.mark.parametrize(
    ("without", "release"),
    [
        ((), "2.2.0"),
        (("xnnpack_weight_cache_file_path",), "2.1.5"),
        (("xnnpack_weight_cache_file_path", "convert_weights_on_gpu"), "2.1.3"),
    ],
)
def test_litert_s_by_its_flags(without, release):
    program = litert(*without)
    assert program.family is LITERT and program.release == f"{release} or newer"
    assert program.describe() == f"LiteRT's benchmark_model (CompiledModel), {release} or newer"
    flags = program.delegate_flags("npu", NEEDS)
    assert flags == ["--use_npu=true", "--dispatch_library_path=/d/libraries"]
    flags = program.delegate_flags("npu", NEEDS | {"compiler": "/d/libraries"})
    assert flags[2] == "--compiler_plugin_library_path=/d/libraries"


def test_a_release_that_does_not_obey_threads():
    new = [
        "compiler_cache_path",
        "input_layer_value_range",
        "convert_weights_on_gpu",
        "xnnpack_weight_cache_file_path",
    ]
    with pytest.raises(ValueError, match="of before 2.1.0 does not obey --num_threads"):
        litert(*new)


@pytest.mark.parametrize(
    "text",
    ["", "usage: ls [OPTION]\n  --all=x\n", litert_program.outputs()[0], "--graph=\n--num_runs=\n"],
)
def test_what_is_neither(text):
    with pytest.raises(ValueError, match="neither TensorFlow Lite's nor LiteRT's. Received: ") as e:
        identify(text)
    assert "\n" not in str(e.value)


def test_a_delegate_that_a_family_lacks():
    real = identify(REAL_HELP + ANDROID_FLAGS)
    with pytest.raises(ValueError, match="TensorFlow Lite's .* no delegate npu: LiteRT's "):
        real.delegate_flags("npu", NEEDS)
    for name, way_out in (
        ("cpu", "cannot switch XNNPACK off; TensorFlow Lite's benchmark_model can"),
        ("nnapi", "--delegate=npu is its way"),
        ("external", "TensorFlow Lite's benchmark_model takes external delegates"),
    ):
        with pytest.raises(ValueError, match=f"LiteRT's .* no delegate {name}: .*{way_out}"):
            litert().delegate_flags(name, NEEDS)
        # What is said to be a way out is one.
        assert real.delegate_flags(name, NEEDS)
    assert {"xnnpack", "gpu"} == set.intersection(
        *(set(one.delegates) for one in FAMILIES.values())
    )


def test_a_delegate_that_a_build_lacks():
    with pytest.raises(ValueError, match="built without gpu .its --help lacks --use_gpu.: take a"):
        identify(REAL_HELP).delegate_flags("gpu", NEEDS)
    assert identify(REAL_HELP + ANDROID_FLAGS).delegate_flags("gpu", NEEDS) == ["--use_gpu=true"]


def test_programs_that_do_not_answer(tmp_path):
    program = tmp_path / "benchmark_model"
    for script, message in (
        ("sleep 60", "was stopped after 0.3 s"),
        ("kill -SEGV $$", "--help was ended by SIGSEGV"),
        ("echo hello", "neither TensorFlow Lite's nor LiteRT's. Received: 'hello'"),
    ):
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        with pytest.raises(ValueError, match=message):
            ask(program, 0.3 if "sleep" in script else 20)
