import pathlib

import pytest

from tflite.benchmark_tool.delegates import DelegateUse, parse_delegation
from tflite.benchmark_tool.messages import message_lines

LOGS = pathlib.Path(__file__).parents[1] / "benchmark_model_logs"


def delegation(text):
    return parse_delegation(message_lines(text))


def read(name):
    return (LOGS / f"{name}.log").read_text()


def test_applied_for_a_flag():
    found = delegation(read("run_25_use_xnnpack_explicit"))
    assert found.delegates == (DelegateUse("XNNPACK", True, "all", kernels=1),)
    assert found.unapplied == ()


def test_applied_by_the_runtime_itself():
    """It says that XNNPACK was made, and not what it runs."""
    found = delegation(read("run_01_default_small_conv_f32"))
    assert found.delegates == (DelegateUse("XNNPACK", False, None),)


def test_switched_off():
    assert delegation(read("run_05_noxnnpack_small_conv_f32")).delegates == ()


def test_counts_from_the_interpreter_state():
    found = delegation(read("run_28_preinvoke"))
    assert found.delegates == (DelegateUse("XNNPACK", False, "all", 1, 6, 6),)
    # Node 0 is not delegated: two nodes are planned.
    text = read("run_28_preinvoke").replace("list of 1 nodes", "list of 2 nodes")
    assert delegation(text).delegates[0].coverage == "part"


def test_a_part_of_the_graph():
    found = delegation(
        "Use NNAPI: [1]\n"
        "INFO: Created TensorFlow Lite delegate for NNAPI.\n"
        "NNAPI delegate created.\n"
        "VERBOSE: Replacing 5 out of 64 node(s) with delegate (TfLiteNnapiDelegate) node, "
        "yielding 5 partitions for the whole graph.\n"
        "INFO: Explicitly applied NNAPI delegate, and the model graph will be partially executed "
        "by the delegate w/ 3 delegate kernels.\n"
        "VERBOSE: Replacing 59 out of 62 node(s) with delegate (TfLiteXNNPackDelegate) node, "
        "yielding 5 partitions for the whole graph.\n"
    )
    assert found.delegates == (
        DelegateUse("NNAPI", True, "part", 3, 5, 64, 5),
        DelegateUse("XNNPACK", False, "part", None, 59, 62, 5),
    )
    assert found.unapplied == ()


def test_subgraphs_add_up_and_a_graph_prepared_twice_counts_once():
    line = (
        "Replacing {} out of {} node(s) with delegate (TfLiteXNNPackDelegate) node, "
        "yielding {} partitions for subgraph {}."
    )
    found = delegation(
        "\n".join(line.format(*row) for row in [(3, 4, 2, 0), (4, 4, 1, 0), (6, 6, 1, 1)])
    )
    assert found.delegates == (DelegateUse("XNNPACK", False, "all", None, 10, 10, 2),)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Unconsumed cmdline flags: --use_gpu=true --foo=1 --use_hexagon=1", ("GPU", "HEXAGON")),
        ("Unconsumed cmdline flags: --use_gpu=false --external_delegate_path=x", ("EXTERNAL",)),
        (
            "Though NNAPI delegate is explicitly applied, the model graph will not be executed "
            "by the delegate.",
            ("NNAPI",),
        ),
        # Asked for, and never heard of again.
        ("Use gpu: [1]\nCreated TensorFlow Lite XNNPACK delegate for CPU.", ("GPU",)),
        ("Use gpu: [1]\nCreated TensorFlow Lite delegate for GPU.", ("GPU",)),
        ("Use xnnpack: [1]", ("XNNPACK",)),
        ("External delegate path: [libvx_delegate.so]", ("EXTERNAL",)),
        ("Use gpu: [0]\nUse caching: [1]\nExternal delegate path: []", ()),
        (
            "Use gpu: [1]\nReplacing 0 out of 9 node(s) with delegate (TfLiteGpuDelegateV2) node, "
            "yielding 0 partitions.",
            ("GPU",),
        ),
    ],
)
def test_asked_for_and_not_applied(text, names):
    assert delegation(text).unapplied == names


def test_two_names_of_apples_gpu():
    found = delegation(
        "Use gpu: [1]\nCreated TensorFlow Lite delegate for Metal.\nGPU delegate created.\n"
        "Explicitly applied GPU delegate, and the model graph will be completely executed by "
        "the delegate."
    )
    assert found.delegates == (DelegateUse("GPU", True, "all", 1),)
