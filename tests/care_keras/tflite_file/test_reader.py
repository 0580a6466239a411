import random
import time

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from care_keras.tflite_file import read_graph
from tests.care_keras.tflite_file.files import FILES, edited, function_file, model_file


@pytest.fixture(scope="module", params=FILES)
def content(request):
    return model_file(request.param)


@pytest.fixture(scope="module")
def interpreter(content):
    """The runtime's own view of the same file, untouched by delegates."""
    return Interpreter(model_content=content)


def test_tensors_are_those_the_runtime_sees(content, interpreter):
    graph = read_graph(content)
    expected = interpreter.get_tensor_details()
    assert len(graph.tensors) == len(expected) > 100
    for tensor, details in zip(graph.tensors, expected, strict=True):
        parameters = details["quantization_parameters"]
        assert tensor.name == details["name"] and tensor.index == details["index"]
        assert tensor.dtype == np.dtype(details["dtype"]).name
        assert tensor.shape == tuple(details["shape"])
        assert tensor.shape_signature == tuple(details["shape_signature"])
        np.testing.assert_array_equal(np.float32(tensor.scales), parameters["scales"])
        np.testing.assert_array_equal(tensor.zero_points, parameters["zero_points"])
        if tensor.scales:
            assert tensor.quantized_dimension == parameters["quantized_dimension"]


def test_constants_are_those_the_runtime_sees(content, interpreter):
    constants = [tensor for tensor in read_graph(content).tensors if tensor.is_constant]
    assert len(constants) > 50
    for tensor in constants:
        np.testing.assert_array_equal(tensor.data, interpreter.get_tensor(tensor.index))
        assert tensor.data.nbytes == tensor.size_bytes


def test_operators_are_those_the_runtime_sees(content, interpreter):
    graph = read_graph(content)
    expected = interpreter._get_ops_details()
    assert len(graph.operators) == len(expected) > 50
    for operator, details in zip(graph.operators, expected, strict=True):
        assert operator.name == details["op_name"] and operator.index == details["index"]
        assert operator.inputs == tuple(details["inputs"])
        assert operator.outputs == tuple(details["outputs"])


def test_inputs_outputs_and_signature(content, interpreter):
    graph = read_graph(content)
    assert [t.index for t in graph.inputs] == [d["index"] for d in interpreter.get_input_details()]
    assert [t.index for t in graph.outputs] == [
        d["index"] for d in interpreter.get_output_details()
    ]
    (signature,) = graph.signatures
    expected = interpreter._get_full_signature_list()[signature.key]
    assert signature.inputs == expected["inputs"] and "images" in signature.inputs
    assert signature.outputs == expected["outputs"] and "outputs" in signature.outputs
    assert graph.size_bytes == len(content)


def test_options_are_those_of_the_layers():
    stem = next(op for op in read_graph(model_file("nano_float32")).operators)
    assert (stem.name, stem.options["padding"]) == ("CONV_2D", "VALID")
    assert (stem.options["stride_h"], stem.options["stride_w"]) == (2, 2)
    operators = read_graph(model_file("mobilenet_int8")).operators
    first = next(op for op in operators if op.name == "CONV_2D")
    assert first.options["padding"] == "SAME"
    assert first.options["fused_activation_function"] == "RELU6"
    assert first.options["quantized_bias_type"] == "FLOAT32"
    mean = next(op for op in operators if op.name == "MEAN")
    assert isinstance(mean.options["keep_dims"], bool)
    softmax = next(op for op in operators if op.name == "SOFTMAX")
    assert softmax.options == {"beta": 1.0}


def test_vector_options_are_lists():
    def add_reshape(model):
        operator = model.subgraphs[0].operators[0]
        operator.builtinOptionsType = schema.BuiltinOptions.ReshapeOptions
        operator.builtinOptions = schema.ReshapeOptionsT([1, 2, -1])

    operator = read_graph(edited(function_file("small"), add_reshape)).operators[0]
    assert operator.options == {"new_shape": [1, 2, -1]}


def test_open_sizes():
    graph = read_graph(function_file("open"))
    (images,) = graph.inputs
    assert images.shape_signature == (-1, 4, 4, 4) and images.shape == (1, 4, 4, 4)
    assert images.is_dynamic and not read_graph(function_file("small")).inputs[0].is_dynamic


def test_bodies_of_control_flow_are_graphs_of_their_own():
    graph = read_graph(function_file("while"))
    loop = next(op for op in graph.operators if op.name == "WHILE")
    body = graph.subgraphs[loop.options["body_subgraph_index"]]
    assert "MUL" in [op.name for op in body.operators]
    assert len(graph.subgraphs) == 3 and graph.main is graph.subgraphs[0]


def test_custom_operators_carry_their_name():
    (operator,) = read_graph(function_file("custom")).operators
    assert (operator.name, operator.custom_code) == ("CUSTOM", "MatrixInverse")
    assert operator.label == "CUSTOM:MatrixInverse" and operator.custom_options
    (operator,) = read_graph(function_file("flex")).operators
    assert operator.custom_code == "FlexMatrixInverse"


def test_an_operator_newer_than_the_schema_is_read():
    def from_the_future(model):
        model.operatorCodes[0].builtinCode = 5000

    graph = read_graph(edited(function_file("small"), from_the_future))
    assert "UNKNOWN_5000" in [op.name for op in graph.operators]


def test_who_writes_and_who_reads():
    graph = read_graph(function_file("small"))
    images = graph.main.inputs[0]
    assert images not in graph.main.producers
    assert [op.name for op in graph.main.consumers[images]] == ["CONV_2D", "ADD"]
    (output,) = graph.main.outputs
    assert graph.main.producers[output].name == "ADD" and output not in graph.main.consumers


@pytest.mark.parametrize(
    "dtype, content, expected",
    [
        ("INT4", [0x87, 0x0F], [7, -8, -1]),
        ("UINT4", [0x87, 0x0F], [7, 8, 15]),
        ("INT2", [0b100111], [-1, 1, -2]),
    ],
)
def test_codes_of_less_than_a_byte(dtype, content, expected):
    def pack(model):
        tensor = next(t for t in model.subgraphs[0].tensors if model.buffers[t.buffer].data is None)
        buffer = schema.BufferT()
        buffer.data = np.array(content, np.uint8)
        model.buffers.append(buffer)
        tensor.buffer, tensor.shape = len(model.buffers) - 1, [3]
        tensor.type = getattr(schema.TensorType, dtype)

    tensors = read_graph(edited(function_file("small"), pack)).tensors
    (tensor,) = [t for t in tensors if t.dtype == dtype.lower()]
    assert tensor.data.tolist() == expected


def test_weights_behind_the_flatbuffer():
    content = function_file("small")
    weights = {t.index: t.data for t in read_graph(content).tensors if t.is_constant}

    def move(model, start):
        """Moves all constants behind the flatbuffer, as files over 2 GB have them."""
        moved = b""
        for buffer in model.buffers:
            if buffer.data is not None and len(buffer.data):
                buffer.offset, buffer.size = start + len(moved), len(buffer.data)
                moved += bytes(buffer.data)
                buffer.data = None
        return moved

    # Offsets of eight bytes each: the size of the flatbuffer does not depend on their values.
    length = len(edited(content, lambda model: move(model, 1 << 20)))
    moved = []
    flatbuffer = edited(content, lambda model: moved.append(move(model, length)))
    assert len(flatbuffer) == length
    graph = read_graph(flatbuffer + moved[0])
    for index, expected in weights.items():
        np.testing.assert_array_equal(graph.tensors[index].data, expected)
    with pytest.raises(ValueError, match="a buffer at byte .* is longer than the file"):
        read_graph(flatbuffer + moved[0][:-1])


def test_only_constants_have_data():
    graph = read_graph(function_file("small"))
    with pytest.raises(
        ValueError, match="Only a constant of numbers.*Received: tensor 0 '.*images"
    ):
        _ = graph.inputs[0].data


def test_files_that_are_none(tmp_path):
    for name, written, message in [
        ("missing.tflite", None, "cannot be read: No such file"),
        ("empty.tflite", b"", "The file is empty"),
        ("short.tflite", b"\x1c\x00\x00\x00TFL", "no TFLite model"),
        ("text.tflite", b"not a model at all", "no TFLite model"),
        ("head.tflite", b"\x1c\x00\x00\x00TFL3", "truncated or corrupt"),
    ]:
        path = tmp_path / name
        if written is not None:
            path.write_bytes(written)
        with pytest.raises(ValueError, match=message) as error:
            read_graph(path)
        assert str(error.value).endswith(f"Received: {path}")
    with pytest.raises(ValueError, match="cannot be read: Is a directory"):
        read_graph(tmp_path)


def _read_or_refuse(content):
    """Whether a file is read; any error but a one-line ValueError fails the test."""
    try:
        read_graph(content)
    except ValueError as error:
        assert type(error) is ValueError and "\n" not in str(error)
        assert str(error).endswith(f"Received: {len(content)} bytes")
        return False
    return True


def test_every_truncation_is_refused():
    content = function_file("small")
    assert _read_or_refuse(content)
    # The converter writes the root table last, so nothing but padding may be missing.
    assert not any(_read_or_refuse(content[:size]) for size in range(0, len(content) - 16, 5))


def test_flipped_bytes_are_read_or_refused_quickly():
    content = function_file("small")
    rng = random.Random(0)
    read, longest = 0, 0.0
    for _ in range(600):
        damaged = bytearray(content)
        for _ in range(rng.choice([1, 1, 2, 4, 16])):
            position = rng.randrange(8, len(content))
            damaged[position] = rng.choice([0, 1, 127, 128, 255, rng.randrange(256)])
        started = time.process_time()
        read += _read_or_refuse(bytes(damaged))
        longest = max(longest, time.process_time() - started)
    # Both happen: bytes of weights and names do no harm, offsets do.
    assert 100 < read < 500
    assert longest < 1.0


def test_random_bytes_are_refused():
    rng = np.random.default_rng(0)
    for size in rng.integers(8, 4000, 200):
        noise = rng.integers(0, 256, size, np.uint8).tobytes()
        assert not _read_or_refuse(noise)
        # Small offsets lead to places inside the file.
        assert not _read_or_refuse(
            b"\x10\x00\x00\x00TFL3" + rng.integers(0, 20, size, np.uint8).tobytes()
        )


@pytest.mark.parametrize(
    "edit, message",
    [
        (lambda g: setattr(g.operators[0], "inputs", [999, 0]), "names tensor 999 of"),
        (lambda g: setattr(g.operators[0], "inputs", [-2, 0]), "names tensor -2 of"),
        (lambda g: setattr(g.operators[0], "opcodeIndex", 77), "names operator code 77 of"),
        (lambda g: setattr(g, "outputs", [-1]), "names tensor -1 of"),
        (lambda g: setattr(g.tensors[0], "buffer", 12345), "names buffer 12345 of"),
        (lambda g: setattr(g.tensors[0], "shape", [1, -4]), "tensor 0 has a negative size"),
        (lambda g: setattr(g.tensors[0], "type", 99), "tensor 0 has a type that is not known: 99"),
    ],
)
def test_what_points_nowhere_is_refused(edit, message):
    content = edited(function_file("small"), lambda model: edit(model.subgraphs[0]))
    with pytest.raises(ValueError, match=f"truncated or corrupt: .*{message}"):
        read_graph(content)


def test_a_constant_of_the_wrong_size_is_refused():
    def cut(model):
        buffer = max(
            (b for b in model.buffers if b.data is not None), key=lambda buffer: len(buffer.data)
        )
        buffer.data = buffer.data[:-4]

    with pytest.raises(ValueError, match="takes 576 bytes and has 572"):
        read_graph(edited(function_file("small"), cut))


def test_tables_that_multiply_are_refused():
    """One small table named 4000 times by each of 4000 vectors: 16 million visits in 32 kB."""
    count = 4000
    content = bytearray(b"\0\0\0\0TFL3")

    def word(value, size=4):
        content.extend(int(value).to_bytes(size, "little", signed=value < 0))

    def table(vtable_offsets):
        """A table whose fields are offsets, filled in later; the position of the table."""
        vtable = len(content)
        word(4 + 2 * len(vtable_offsets), 2)
        word(4 + 4 * sum(map(bool, vtable_offsets)), 2)
        for offset in vtable_offsets:
            word(offset, 2)
        while len(content) % 4:
            content.append(0)
        position = len(content)
        word(position - vtable)
        content.extend(bytes(4 * sum(map(bool, vtable_offsets))))
        return position

    def point(position, target):
        content[position : position + 4] = (target - position).to_bytes(4, "little")

    def vector():
        start = len(content)
        word(count)
        content.extend(bytes(4 * count))
        return start

    def point_all(start, target):
        for i in range(count):
            point(start + 4 + 4 * i, target)

    # Offsets lead forwards only, so what names a table is made before it and pointed afterwards.
    root = table([0, 0, 4])
    point(0, root)
    subgraphs = vector()
    point(root + 4, subgraphs)
    subgraph = table([4])
    point_all(subgraphs, subgraph)
    tensors = vector()
    point(subgraph + 4, tensors)
    point_all(tensors, table([]))
    started = time.process_time()
    with pytest.raises(ValueError, match="refer to one another without end"):
        read_graph(bytes(content))
    assert time.process_time() - started < 5


def test_names_cannot_move_the_cursor():
    def rename(model):
        model.description = b"\x1b]0;title\x07"
        model.subgraphs[0].tensors[0].name = b"a\nb\x1b[2J"

    graph = read_graph(edited(function_file("small"), rename))
    assert graph.tensors[0].name == "a\ufffdb\ufffd[2J"
    assert graph.description == "\ufffd]0;title\ufffd"
