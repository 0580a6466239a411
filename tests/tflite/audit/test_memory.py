import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from care_keras.tflite_file import read_graph
from tests.care_keras.tflite_file.files import FILES, edited, function_file, model_file
from tflite.audit.memory import plan_memory

# Sums of products and reductions need scratch memory, which the file does not tell of.
LARGEST_SCRATCH = 0.05


def arena_of_the_runtime(content, tensors):
    """Bytes from the first to the last of the tensors, in the memory the runtime gave them."""
    interpreter = Interpreter(
        model_content=content,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    places = []
    for index in tensors:
        array = interpreter.tensor(index)()
        places.append((array.ctypes.data, array.nbytes))
        del array
    return max(start + size for start, size in places) - min(start for start, _ in places)


@pytest.mark.parametrize("name", FILES)
def test_arena_is_as_large_as_the_runtime_makes_it(name):
    content = model_file(name)
    plan = plan_memory(read_graph(content).main)
    actual = arena_of_the_runtime(content, plan.offsets)
    assert plan.arena_bytes == pytest.approx(actual, rel=LARGEST_SCRATCH)
    assert plan.persistent_bytes == 0


def test_tensors_that_live_at_once_do_not_overlap():
    graph = read_graph(model_file("nano_float32")).main
    offsets = plan_memory(graph).offsets
    last = {i: op.index for op in graph.operators for i in op.inputs}
    checked = 0
    for operator in graph.operators:
        # What is written while another tensor is still to be read later.
        for written in operator.outputs:
            for other, end in last.items():
                producer = graph.producers.get(other)
                alive = producer is not None and producer.index < operator.index < end
                if other not in offsets or not alive:
                    continue
                one, two = graph.tensors[written], graph.tensors[other]
                start, begin = offsets[written], offsets[other]
                apart = start + one.size_bytes <= begin or begin + two.size_bytes <= start
                assert apart or _same_data(graph, written, other)
                checked += 1
    assert checked > 500


def _same_data(graph, one, other):
    """Whether one is a reshaped form of the other."""

    def origin(index):
        while index in graph.producers and graph.producers[index].name == "RESHAPE":
            index = graph.producers[index].inputs[0]
        return index

    return origin(one) == origin(other)


def test_sums_are_written_in_place():
    graph = read_graph(function_file("small")).main
    plan = plan_memory(graph)
    # 4x4x4 float32 three times: images, and the two that a convolution reads and writes.
    assert plan.arena_bytes == 3 * 256
    sum_ = graph.operators[-1]
    # The graph's output never shares.
    assert plan.offsets[sum_.outputs[0]] not in [plan.offsets[i] for i in sum_.inputs]


def test_variables_are_kept_apart():
    def variable(model):
        graph = model.subgraphs[0]
        graph.tensors[graph.operators[0].outputs[0]].isVariable = True

    graph = read_graph(edited(function_file("small"), variable)).main
    plan = plan_memory(graph)
    assert plan.persistent_bytes == 256
    assert graph.operators[0].outputs[0] not in plan.offsets
