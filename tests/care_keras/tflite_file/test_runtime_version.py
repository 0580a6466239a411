import pytest
from ai_edge_litert import schema_py_generated as schema

from care_keras.tflite_file import oldest_runtime, read_graph
from care_keras.tflite_file.runtime_version import runtime_of, version_key
from care_keras.tflite_file.runtime_version_table import OLDEST_RUNTIME
from tests.care_keras.tflite_file.files import FILES, edited, function_file, model_file


def metadata(content):
    """What TensorFlow's converter wrote into the file."""
    return read_graph(content).metadata["min_runtime_version"].rstrip(b"\0").decode()


@pytest.mark.parametrize("name", FILES)
def test_is_what_the_converter_writes_into_models(name):
    requirement = oldest_runtime(read_graph(model_file(name)))
    assert requirement.version == metadata(model_file(name))
    assert not requirement.unknown and requirement.needed_by


@pytest.mark.parametrize("kind", ["small", "open", "while"])
def test_is_what_the_converter_writes_into_small_files(kind):
    content = function_file(kind)
    assert oldest_runtime(read_graph(content)).version == metadata(content)


def test_operators_are_named():
    requirement = oldest_runtime(read_graph(model_file("nano_float32")))
    assert requirement.version == "2.9.0" and requirement.needed_by == (("GELU", 1),)


def test_unknown_operators_are_named_not_guessed():
    requirement = oldest_runtime(read_graph(function_file("custom")))
    assert requirement.version is None and requirement.needed_by == ()
    assert requirement.unknown == (("CUSTOM:MatrixInverse", 1),)

    def newer(model):
        conv = schema.BuiltinOperator.CONV_2D
        next(c for c in model.operatorCodes if c.builtinCode == conv).version = 99

    requirement = oldest_runtime(read_graph(edited(function_file("small"), newer)))
    assert requirement.unknown == (("CONV_2D", 99),)
    assert requirement.version == "1.5.0" and requirement.needed_by == (("ADD", 1),)


def test_int8_div_has_a_caveat():
    (caveat,) = oldest_runtime(read_graph(model_file("nano_int8"))).caveats
    assert "DIV on int8" in caveat and "2.14" in caveat
    assert oldest_runtime(read_graph(model_file("nano_float32"))).caveats == ()


@pytest.mark.parametrize(
    "operator, version, release",
    [
        ("CONV_2D", 1, "1.5.0"),
        ("BATCH_MATMUL", 4, "2.5.0"),
        ("GELU", 2, "2.9.0"),
        ("FULLY_CONNECTED", 12, "2.17.0"),
        ("BROADCAST_TO", 2, "2.5.0"),
        ("BROADCAST_TO", 1, None),
        ("CONV_2D", 0, None),
        ("CONV_2D", 99, None),
        ("STABLEHLO_SORT", 1, None),
    ],
)
def test_table(operator, version, release):
    assert runtime_of(operator, version) == release


def test_every_name_in_the_table_is_an_operator():
    assert set(OLDEST_RUNTIME) < set(vars(schema.BuiltinOperator))
    releases = {word for words in OLDEST_RUNTIME.values() for word in words.split()} - {"-"}
    assert all(len(version_key(release)) == 3 for release in releases)
    # Several hundred versions; a later one never needs an older runtime.
    assert sum(len(words.split()) for words in OLDEST_RUNTIME.values()) == 442
    for words in OLDEST_RUNTIME.values():
        keys = [version_key(word) for word in words.split() if word != "-"]
        assert keys == sorted(keys)


def test_releases_are_compared_as_numbers():
    assert version_key("2.14.0") > version_key("2.3.0") > version_key("1.15.0")
