"""Files that are no model alone: each is refused in one line, and nothing has happened."""

import copy
import inspect
import io
import json
import pathlib
import struct
import sys
import time
import tracemalloc
import types
import warnings
import zipfile

import h5py
import keras
import numpy as np
import pytest
from keras.src import api_export
from keras.src.saving import serialization_lib

import care_keras.deploy
import care_keras.quantization  # noqa: F401  (its classes are known before memory is measured)
from care_keras.loading import load_any
from care_keras.models.keras_file import config as allowed

MIB = 2**20


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """The members of a small model that Keras has saved."""
    inputs = keras.Input((4,), name="x")
    hidden = keras.layers.Dense(3, activation="relu", name="hidden")(inputs)
    outputs = keras.layers.Dense(2, name="end")(hidden)
    path = tmp_path_factory.mktemp("model") / "model.keras"
    keras.Model(inputs, outputs, name="small").save(path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def settings():
    """What a file has set when loaded, or could have."""
    config = keras.config
    return (
        keras.dtype_policies.get(None).name,
        config.image_data_format(),
        config.floatx(),
        config.epsilon(),
        config.is_traceback_filtering_enabled(),
        set(keras.saving.get_custom_objects()),
    )


def check_refused(path, message, capfd):
    """Tries to load the file: one line that names it, no other trace, little time and memory."""
    before, files = settings(), sorted(path.parent.rglob("*"))
    capfd.readouterr()
    started = time.process_time()
    with warnings.catch_warnings(), pytest.raises(ValueError, match=message) as error:
        warnings.simplefilter("error")
        load_any(str(path))
    seconds, text = time.process_time() - started, str(error.value)
    assert "\n" not in text and text.endswith(f"Received: {str(path)!r}") and len(text) < 600
    assert settings() == before
    assert sorted(path.parent.rglob("*")) == files
    assert capfd.readouterr() == ("", "")
    # Once more for the memory, whose tracing takes most of the time.
    tracemalloc.start()
    try:
        with pytest.raises(ValueError):
            load_any(str(path))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 50 * MIB and seconds < 1.0


def write(path, members, compression=zipfile.ZIP_STORED):
    """Writes members, a dict or pairs, as an archive."""
    pairs = members.items() if isinstance(members, dict) else members
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that stand twice
        with zipfile.ZipFile(path, "w", compression) as archive:
            for name, content in pairs:
                archive.writestr(name, content)


# ---------------------------------------------------------------------------------- config.json


def named(module, class_name, config=None, **kwargs):
    """An object as Keras serializes it."""
    return {"module": module, "class_name": class_name, "config": config or {}, **kwargs}


def function(module, name):
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


def tensor(layer="x", shape=(None, 4)):
    """A layer's output, as a node refers to it."""
    config = {"shape": shape, "dtype": "float32", "keras_history": [layer, 0, 0]}
    return named(None, "__keras_tensor__", config)


def operation(name, args, config=None, module="keras.src.ops.core", **kwargs):
    """One more entry of a functional model's layers, which nothing depends on."""
    config = {"name": "extra", **(config or {})}
    node = {"args": args, "kwargs": kwargs}
    return named(module, name, config, registered_name=name, name="extra", inbound_nodes=[node])


SET_POLICY = function("keras.config", "set_dtype_policy")
SET_FORMAT = function("keras.config", "set_image_data_format")
RELU = function("keras.activations", "relu")


def adds(entry):
    """An operation that no output needs: Keras builds it all the same."""
    return lambda config: config["config"]["layers"].append(entry)


def ends_with(entry):
    """An operation that the model's output comes from."""

    def change(config):
        config["config"]["layers"].append(entry)
        config["config"]["output_layers"] = ["extra", 0, 0]

    return change


def hidden(**changes):
    """Changes the config of the layer in the middle."""
    return lambda config: config["config"]["layers"][1]["config"].update(changes)


def replaces(**changes):
    """Changes how the layer in the middle is named; None takes the entry away."""

    def change(config):
        layer = config["config"]["layers"][1]
        for key, value in changes.items():
            layer.pop(key, None)
            if value != "REMOVED":
                layer[key] = value

    return change


def rename(name):
    def change(config):
        layer = config["config"]["layers"][1]
        layer["name"] = layer["config"]["name"] = name
        text = json.dumps(config["config"]).replace('"hidden"', json.dumps(name))
        config["config"] = json.loads(text)

    return change


def top(**changes):
    return lambda config: config.update(changes)


def deep(config):
    value = []
    for _ in range(300):
        value = [value]
    config["config"]["extra"] = value


LOOKUP = {"vocabulary": "/etc/hostname", "name": "extra"}

CONFIGS = {
    # The operation that calls functions: they ran, and the model loaded in silence.
    "switch that no output needs": (
        adds(operation("Switch", [0, [SET_POLICY], "mixed_float16"])),
        "'keras.src.ops.core.Switch'.* can run code",
    ),
    "switch with a symbolic index": (
        adds(operation("Switch", [tensor(shape=()), [SET_FORMAT], "channels_first"])),
        "'keras.src.ops.core.Switch'",
    ),
    "switch that the output comes from": (
        ends_with(operation("Switch", [0, [RELU], tensor("end", (None, 2))])),
        "'keras.src.ops.core.Switch'",
    ),
    "switch under other names": (
        adds({**operation("Switch", []), "registered_name": "care_keras>Nothing"}),
        "'keras.src.ops.core.Switch'",
    ),
    "cond": (adds(operation("Cond", [True, RELU, RELU])), "ops.core.Cond"),
    "map": (adds(operation("Map", [RELU, tensor()])), "ops.core.Map"),
    "scan": (adds(operation("Scan", [RELU, tensor()])), "ops.core.Scan"),
    "associative scan": (adds(operation("AssociativeScan", [RELU, tensor()])), "AssociativeScan"),
    "while": (adds(operation("WhileLoop", [[1]], {"cond": RELU, "body": RELU})), "WhileLoop"),
    "for": (
        adds(operation("ForiLoop", [1], {"lower": 0, "upper": 1, "body_fun": RELU})),
        "ForiLoop",
    ),
    "vectorized map": (adds(operation("VectorizedMap", [1], {"function": RELU})), "VectorizedMap"),
    "derivative": (adds(operation("JVP", [RELU], module="keras.src.ops.linalg")), "linalg.JVP"),
    # Computed while the model is loaded: these would take 40 GB.
    "operation on numbers": (
        adds(operation("Tile", [[1.0]], {"repeats": 10**10}, "keras.src.ops.numpy")),
        "a call without a tensor, .* of 'extra'",
    ),
    "operation on a tensor in a slice": (
        adds(
            operation(
                "Tile",
                [named(None, "__slice__", {"start": tensor(), "stop": 1, "step": 1})],
                {"repeats": 10**10},
                "keras.src.ops.numpy",
            )
        ),
        "a call without a tensor",
    ),
    "call of an older format": (
        adds({**operation("Tile", []), "inbound_nodes": [[]], "module": "keras.src.ops.numpy"}),
        "a call without a tensor",
    ),
    # Functions by themselves: CVE-2025-1550, CVE-2025-8747, CVE-2025-9906.
    "activation": (hidden(activation=SET_POLICY), "function 'keras.config.set_dtype_policy'"),
    "download": (hidden(activation=function("keras.utils", "get_file")), "keras.utils.get_file"),
    "data set": (
        hidden(kernel_initializer=function("keras.datasets.mnist", "load_data")),
        "keras.datasets.mnist.load_data",
    ),
    "safe mode": (
        hidden(activation=function("keras.config", "enable_unsafe_deserialization")),
        "enable_unsafe_deserialization",
    ),
    "lookup": (hidden(activation=function("keras.activations", "get")), "keras.activations.get"),
    "lookup of old": (hidden(activation=function("builtins", "deserialize")), "deserialize"),
    "builtin": (hidden(activation=function("builtins", "eval")), "builtins.eval"),
    "numpy": (hidden(activation=function("numpy", "load")), "numpy.load"),
    "operation's function": (hidden(activation=function("keras.ops", "map")), "keras.ops.map"),
    "loss outside of training": (
        hidden(activation=function("keras.losses", "huber")),
        "keras.losses.huber",
    ),
    "function as a class": (
        hidden(activation=named("keras.config", "set_dtype_policy")),
        "keras.config.set_dtype_policy",
    ),
    "function of no name": (hidden(activation=function("keras.activations", ["relu"])), "relu"),
    # Layers that run code or read files: CVE-2024-3660, CVE-2025-12058, CVE-2026-1462.
    "lambda": (
        hidden(activation=named(None, "__lambda__", {"value": ["4wEA", None, None]})),
        "'__lambda__'",
    ),
    "lambda layer": (
        adds(named("keras.layers", "Lambda", {"function": RELU}, name="a", inbound_nodes=[])),
        "'keras.layers.Lambda'.* it takes 'function'",
    ),
    "lambda layer by its own name": (
        replaces(module="keras.src.layers.core.lambda_layer", class_name="Lambda"),
        "lambda_layer.Lambda",
    ),
    "saved model": (
        replaces(class_name="TFSMLayer", config={"filepath": "/tmp", "name": "hidden"}),
        "'keras.layers.TFSMLayer'.* it takes 'filepath'",
    ),
    "jax": (replaces(class_name="JaxLayer"), "keras.layers.JaxLayer"),
    "flax": (replaces(class_name="FlaxLayer"), "keras.layers.FlaxLayer"),
    "torch": (replaces(class_name="TorchModuleWrapper"), "keras.layers.TorchModuleWrapper"),
    "strings from a file": (
        replaces(class_name="StringLookup", config=LOOKUP),
        "vocabulary is a path: '/etc/hostname'",
    ),
    "integers from a file": (replaces(class_name="IntegerLookup", config=LOOKUP), "is a path"),
    "text from a file": (replaces(class_name="TextVectorization", config=LOOKUP), "is a path"),
    "text by a function": (
        replaces(
            class_name="TextVectorization",
            config={"name": "extra", "standardize": function("keras.utils", "get_file")},
        ),
        "keras.utils.get_file",
    ),
    "features": (replaces(module="keras.utils", class_name="FeatureSpace"), "not among"),
    # Names that are looked up in another way than they read.
    "other class": (replaces(class_name="Dence"), "'keras.layers.Dence', which is not among"),
    "other case": (replaces(class_name="dense"), "'keras.layers.dense'"),
    "path in the name": (
        replaces(module="keras", class_name="layers.Dense"),
        "'keras.layers.Dense'",
    ),
    "arrows in the name": (
        replaces(module=None, class_name="src>ops>core>Switch"),
        "'src>ops>core>Switch', which is neither Keras's nor care_keras's",
    ),
    "own class": (
        replaces(module="my.layers", class_name="Mine", registered_name="my>Mine"),
        "'my.layers.Mine', which is neither Keras's nor care_keras's",
    ),
    "class of a sister project": (
        replaces(module="keras_cv.src.layers", class_name="Dense"),
        "'keras_cv.src.layers.Dense': name its package with --import=keras_cv ",
    ),
    "module of the standard library": (replaces(module="os", class_name="system"), "'os.system'"),
    "module of Keras that is not loaded": (
        replaces(module="keras.src.ops.no_such", class_name="Add"),
        "not among",
    ),
    "class that a module imports": (
        replaces(module="keras.src.ops.numpy", class_name="Operation"),
        "keras.src.ops.numpy.Operation",
    ),
    "graph as an operation": (
        replaces(module="keras.src.ops.function", class_name="Function"),
        "keras.src.ops.function.Function",
    ),
    "class without a module": (replaces(module="REMOVED"), "'Dense', which Keras 3 does not write"),
    "module that is no text": (replaces(module=["keras"]), "name is no text"),
    "class that is no text": (replaces(class_name=["Dense"]), "name is no text"),
    "registered name that is no text": (replaces(registered_name={"a": 1}), "name is no text"),
    "tensor type": (
        hidden(units=named("tensorflow", "__typespec__", [], spec_name="TensorSpec")),
        "__typespec__",
    ),
    "array of any size": (
        hidden(units=named(None, "__numpy__", {"value": ["a"], "dtype": "U999999999"})),
        "unknown dtype: 'U999999999'",
    ),
    "inner compiled loss": (
        top(config={"a": named("keras", "Sequential", compile_config={"loss": SET_POLICY})}),
        "set_dtype_policy",
    ),
    # CVE-2026-12479, GHSA-hqp4-2352-xf5r: names that became paths.
    "layer named ..": (rename(".."), "could be taken for a path: '..'"),
    "layer named a path": (rename("a/../../b"), "could be taken for a path: 'a/../../b'"),
    "layer named a path of Windows": (rename("..\\b"), "could be taken for a path"),
    "layer named by two lines": (rename("a\nb"), "could be taken for a path"),
    # No model at all.
    "layer alone": (top(**named("keras.layers", "Dense", {"units": 1})), "describes no model, but"),
    "value alone": (top(**named(None, "__ellipsis__")), "describes no model"),
    "unknown model": (top(class_name="REMOVED"), "keras.*REMOVED"),
    "too deep": (deep, "config.json is nested too deep"),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_config(tmp_path, parts, capfd, case):
    change, message = CONFIGS[case]
    config = copy.deepcopy(json.loads(parts["config.json"]))
    change(config)
    path = tmp_path / "model.keras"
    write(path, {**parts, "config.json": json.dumps(config)})
    check_refused(path, message, capfd)


# ---------------------------------------------------------------------------- bytes of config.json


def spaces(count):
    return b" " * count


CONTENTS = {
    "empty": (b"", "config.json is no JSON"),
    "half": (b'{"class_name": "Func', "config.json is no JSON"),
    "garbage": (b"\x80\x81\xff", "config.json is no JSON"),
    "no object": (b"[1, 2]", "config.json describes no model"),
    "text": (b'"keras.layers.Dense"', "config.json describes no model"),
    "long number": (b'{"a": ' + b"9" * 5000 + b"}", "config.json is no JSON"),
    "brackets": (b"[" * 100_000, "config.json is nested too deep"),
    "braces": (b'{"a":' * 100_000, "config.json is nested too deep"),
    "too large": (spaces(11 * MIB), "config.json is larger than 10 MiB"),
    "too many lists": (b"[" + b"[]," * 300_000 + b"[]]", "config.json has too many values"),
    "too many objects": (b"[" + b"{}," * 150_000 + b"{}]", "config.json has too many values"),
    "as large as is read": (
        b'{"class_name": 1, "config": [' + b"1.5," * 500_000 + spaces(7 * MIB) + b"1]}",
        "name is no text",
    ),
    "wide letters": ('"\U0001f600'.encode() + spaces(9 * MIB) + b'"', "too many values|no model"),
}


@pytest.mark.parametrize("case", CONTENTS)
def test_content_of_the_config(tmp_path, parts, capfd, case):
    content, message = CONTENTS[case]
    path = tmp_path / "model.keras"
    write(path, {**parts, "config.json": content})
    check_refused(path, message, capfd)


# -------------------------------------------------------------------------------------- archives


def without(name):
    return lambda parts: [(key, content) for key, content in parts.items() if key != name]


def plus(name, content=b"1"):
    return lambda parts: [*parts.items(), (name, content)]


MEMBERS = {
    "no config": (without("config.json"), "has no config.json"),
    "no weights": (without("model.weights.h5"), "has no model.weights.h5"),
    "member outside": (plus("../../x"), "no part of a model: '../../x'"),
    "member outside of assets": (plus("assets/../../x"), "no part of a model"),
    "member at the root": (plus("/etc/x"), "no part of a model"),
    "member of Windows": (plus("assets\\..\\x"), "no part of a model"),
    "member on a drive": (plus("assets/C:x"), "no part of a model"),
    "member of dots": (plus("assets/. ./x"), "no part of a model"),
    "other weights": (plus("model.weights.npz"), "no part of a model: 'model.weights.npz'"),
    "two configs": (plus("config.json"), "two members of one name: 'config.json'"),
    "two metadata": (plus("metadata.json"), "two members of one name"),
    "two weights": (plus("model.weights.h5"), "two members of one name"),
    "large metadata": (
        lambda parts: {**parts, "metadata.json": spaces(2 * MIB)},
        "metadata.json is larger than 1 MiB",
    ),
}


@pytest.mark.parametrize("case", MEMBERS)
def test_members(tmp_path, parts, capfd, case):
    change, message = MEMBERS[case]
    path = tmp_path / "model.keras"
    write(path, change(parts))
    check_refused(path, message, capfd)


def test_a_name_that_ends_at_a_zero_byte(tmp_path, parts, capfd):
    path = tmp_path / "model.keras"
    write(path, {**parts, "config.jsonXa": b"{}"})
    path.write_bytes(path.read_bytes().replace(b"config.jsonXa", b"config.json\0a"))
    check_refused(path, r"no part of a model: 'config.json\\x00a'", capfd)


@pytest.fixture(scope="module")
def bomb(parts, tmp_path_factory):
    """300 MB of spaces for a config, in 300 kB."""
    path = tmp_path_factory.mktemp("bomb") / "model.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        with archive.open("config.json", "w") as member:
            for _ in range(300):
                member.write(spaces(MIB))
            member.write(parts["config.json"])
        archive.writestr("model.weights.h5", parts["model.weights.h5"])
    assert path.stat().st_size < 400_000
    return path


def test_a_bomb(bomb, capfd):
    check_refused(bomb, "unpacks to more than 100 times its size", capfd)


@pytest.mark.parametrize("declared", (1000, 9 * MIB, 12 * MIB))
def test_a_bomb_that_hides_its_size(tmp_path, bomb, capfd, declared):
    content = bomb.read_bytes()
    with zipfile.ZipFile(bomb) as archive:
        size = archive.getinfo("config.json").file_size
    path = tmp_path / "model.keras"
    path.write_bytes(content.replace(struct.pack("<L", size), struct.pack("<L", declared)))
    check_refused(path, "A damaged .keras file|larger than 10 MiB", capfd)


@pytest.mark.parametrize("compression", (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
def test_packed_in_ways_that_cannot_be_bounded(tmp_path, parts, capfd, compression):
    path = tmp_path / "model.keras"
    write(path, parts, compression)
    check_refused(path, "packed in an unusual way", capfd)


def test_an_encrypted_member(tmp_path, parts, capfd):
    path = tmp_path / "model.keras"
    write(path, parts)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    check_refused(path, "encrypted", capfd)


def test_a_member_that_is_damaged(tmp_path, parts, capfd):
    path = tmp_path / "model.keras"
    write(path, parts, zipfile.ZIP_DEFLATED)
    content = bytearray(path.read_bytes())
    start = content.index(b"config.json") + 40
    content[start : start + 20] = bytes(20)
    path.write_bytes(content)
    check_refused(path, "A damaged .keras file: config.json: ", capfd)


def test_hdf5_by_the_name_of_a_keras_file(tmp_path, capfd):
    """CVE-2025-9905: such files were loaded without the safe mode."""
    path = tmp_path / "model.keras"
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = "{}"
    check_refused(path, "Not a .keras file, or a damaged one", capfd)


@pytest.mark.parametrize("name", ("model.h5", "model.zip", "model.KERAS"))
def test_other_names_by_which_keras_reads_it_otherwise(tmp_path, parts, capfd, name):
    path = tmp_path / name
    write(path, parts)
    check_refused(path, r"must end in \.keras", capfd)


@pytest.mark.parametrize("content", (b"", b"no archive", b"PK\x03\x04 cut"))
def test_no_archive(tmp_path, capfd, content):
    path = tmp_path / "model.keras"
    path.write_bytes(content)
    check_refused(path, "Not a .keras file, or a damaged one", capfd)


def test_words_of_zipfile_that_quote_the_whole_file(tmp_path, parts, capfd):
    """It does so where the name in front of a member is longer than that in the directory."""
    path = tmp_path / "model.keras"
    write(path, parts)
    content = bytearray(path.read_bytes())
    start = content.index(b"config.json") - 4
    content[start : start + 2] = (3000).to_bytes(2, "little")
    path.write_bytes(content)
    check_refused(path, "A damaged .keras file: config.json: .{,310} Received: ", capfd)


def test_a_folder(tmp_path, parts, capfd):
    """Keras takes a folder with these files for a model too."""
    path = tmp_path / "model.keras"
    path.mkdir()
    for name, content in parts.items():
        (path / name).write_bytes(content)
    check_refused(path, "Not a .keras file", capfd)


# --------------------------------------------------------------------------------------- weights


def find_kernel(file):
    """The group and the name of a weight."""
    found = []
    file.visititems(lambda name, item: found.append(name) if hasattr(item, "shape") else None)
    group, _, name = sorted(found)[0].rpartition("/")
    return file[group], name


def external_link(file, outside):
    group, name = find_kernel(file)
    del group[name]
    group[name] = h5py.ExternalLink(str(outside), "/secret")


def soft_link(file, outside):
    group, name = find_kernel(file)
    del group[name]
    group[name] = h5py.SoftLink("/elsewhere")


def external_storage(file, outside):
    group, name = find_kernel(file)
    shape = group[name].shape
    del group[name]
    group.create_dataset(name, shape, "float32", external=[(str(outside), 0, 4096)])


def virtual_data_set(file, outside):
    group, name = find_kernel(file)
    shape = group[name].shape
    del group[name]
    layout = h5py.VirtualLayout(shape, "float32")
    layout[...] = h5py.VirtualSource(str(outside), "secret", shape)
    group.create_virtual_dataset(name, layout)


def shape_bomb(file, outside):
    """2 GiB that are stored nowhere: below the bound that Keras has."""
    group, name = find_kernel(file)
    del group[name]
    group.create_dataset(name, (2**29,), "float32", chunks=(2**20,), compression="gzip")


def many_arrays(file, outside):
    for i in range(200):
        file.create_dataset(f"extra/{i}", (2**18,), "float32", chunks=(2**18,))


def texts(file, outside):
    file.create_dataset("extra", data=np.array(["a"], object), dtype=h5py.string_dtype())


def complex_numbers(file, outside):
    group, name = find_kernel(file)
    values = group[name][...].astype("complex64")
    del group[name]
    group[name] = values


def named_type(file, outside):
    file["extra"] = np.dtype("float32")


WEIGHTS = {
    # CVE-2026-1669
    external_link: "has a link to elsewhere: '/",
    soft_link: "has a link to elsewhere: '/",
    external_storage: "lies in another file: '/",
    # CVE-2026-12480
    virtual_data_set: "lies in another file: '/",
    # CVE-2026-0897
    shape_bomb: "far larger than the file: '/",
    many_arrays: "far larger than the file: '/extra",
    texts: "no fixed size: '/extra'",
    named_type: "no array: '/extra'",
    complex_numbers: "complex numbers: '/",
}


@pytest.mark.parametrize("change", WEIGHTS, ids=lambda change: change.__name__)
def test_weights(tmp_path, parts, capfd, change):
    outside = tmp_path / "outside.h5"
    with h5py.File(outside, "w") as file:
        file["secret"] = np.ones((4, 3), np.float32)
    content = io.BytesIO(parts["model.weights.h5"])
    with h5py.File(content, "r+") as file:
        change(file, outside)
    path = tmp_path / "model.keras"
    write(path, {**parts, "model.weights.h5": content.getvalue()})
    check_refused(path, f"model.weights.h5 {'.*'}{WEIGHTS[change]}", capfd)


def test_weights_that_are_no_hdf5(tmp_path, parts, capfd):
    path = tmp_path / "model.keras"
    write(path, {**parts, "model.weights.h5": parts["model.weights.h5"][:500]})
    check_refused(path, "model.weights.h5 is damaged", capfd)


def test_too_many_objects(tmp_path, parts, capfd, monkeypatch):
    monkeypatch.setattr("care_keras.models.keras_file.weights._MAX_OBJECTS", 5)
    path = tmp_path / "model.keras"
    write(path, parts)
    check_refused(path, "more than 5 objects", capfd)


def test_a_group_that_holds_itself_is_looked_at_once(tmp_path, parts):
    content = io.BytesIO(parts["model.weights.h5"])
    with h5py.File(content, "r+") as file:
        file["layers/again"] = file["layers"]
    path = tmp_path / "model.keras"
    write(path, {**parts, "model.weights.h5": content.getvalue()})
    assert load_any(str(path)).count_params() == 23


# ------------------------------------------------------------------------------------- the list


def test_every_class_of_keras_that_takes_code_is_refused():
    """What a new Keras brings must be looked at: here a layer that takes a function or a path."""
    refused, suspicious = set(), set()
    classes = [x for x in vars(keras.layers).values() if inspect.isclass(x)]
    for kind in classes:
        if not issubclass(kind, keras.Operation):
            continue
        names = {
            name
            for method in (kind.__init__, kind.call)
            for name in inspect.signature(method).parameters
        }
        if allowed._function_arguments(kind):
            refused.add(kind.__name__)
        elif any(x in name for name in names for x in ("fn", "func", "path", "file", "callable")):
            suspicious.add(kind.__name__)
    assert refused == {"FlaxLayer", "JaxLayer", "Lambda", "TFSMLayer", "TorchModuleWrapper"}
    assert not suspicious


def test_what_is_allowed_is_what_keras_finds():
    """The same object by the same names, or none."""
    checked = 0
    for module in allowed._MODULES | allowed._TRAINING_MODULES:
        for name in list(vars(sys.modules[module])):
            ours = allowed._find_class(module, name, training=True)
            if ours is None:
                continue
            try:
                theirs = serialization_lib._retrieve_class_or_fn(
                    name, None, module, obj_type="class", full_config={}, custom_objects={}
                )
            # Keras writes second names nowhere, and refuses most of them.
            except ValueError:
                continue
            assert theirs is ours
            checked += 1
    assert checked > 200


@pytest.fixture
def sister(monkeypatch):
    """A package that Keras finds unregistered classes of, imported by the caller."""
    package, module = types.ModuleType("keras_nlp"), types.ModuleType("keras_nlp.layers")

    # By the name of the class the weights are found.
    class Dense(keras.layers.Dense):
        pass

    class OfFunction(keras.layers.Layer):
        def __init__(self, function, **kwargs):
            super().__init__(**kwargs)

    class NoLayer:
        pass

    for kind in (Dense, OfFunction, NoLayer):
        kind.__module__ = module.__name__
        setattr(module, kind.__name__, kind)
    module.Conv2D = keras.layers.Conv2D
    monkeypatch.setitem(sys.modules, "keras_nlp", package)
    monkeypatch.setitem(sys.modules, "keras_nlp.layers", module)
    return module


def test_a_layer_of_a_sister_project_that_is_imported(tmp_path, parts, sister):
    config = json.loads(parts["config.json"])
    replaces(module="keras_nlp.layers", class_name="Dense", registered_name="Dense")(config)
    path = tmp_path / "model.keras"
    write(path, {**parts, "config.json": json.dumps(config)})
    assert type(load_any(str(path)).layers[1]) is sister.Dense


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"class_name": "OfFunction"}, "can run code .* it takes 'function'"),
        ({"class_name": "NoLayer"}, "not among"),
        ({"class_name": "Conv2D"}, "not among"),
        ({"class_name": "Other"}, "not among"),
        ({"module": "keras_nlp.other", "class_name": "Dense"}, "not among"),
    ],
)
def test_what_else_a_sister_project_has(tmp_path, parts, sister, capfd, changes, message):
    config = json.loads(parts["config.json"])
    replaces(**{"module": "keras_nlp.layers", "registered_name": "Mine", **changes})(config)
    path = tmp_path / "model.keras"
    write(path, {**parts, "config.json": json.dumps(config)})
    check_refused(path, message, capfd)


def test_of_all_functions_that_keras_exports_activations_alone_are_allowed():
    """What a new Keras exports is refused, too, unless it is an activation."""
    looked_up = {"deserialize", "get", "serialize"}
    activations = {name for name, x in vars(keras.activations).items() if inspect.isfunction(x)}
    checked = 0
    for public, exported in api_export.REGISTERED_NAMES_TO_OBJS.items():
        module, _, name = public.rpartition(".")
        if inspect.isclass(exported):
            continue
        checked += 1
        allowed_here = allowed._is_allowed_function(module, name, training=False)
        same = getattr(keras.activations, name, None) is not None and module in (
            "keras.activations",
            "keras.ops",
        )
        assert allowed_here == (same and name in activations - looked_up), public
        # A function is no class, whatever it is called.
        assert allowed._find_class(module, name, training=True) is None
    assert checked > 500


def test_a_function_as_keras_3_6_wrote_it(tmp_path, parts):
    config = json.loads(parts["config.json"])
    relu = {**function("builtins", "relu"), "registered_name": "function"}
    hidden(activation=relu)(config)
    path = tmp_path / "model.keras"
    write(path, {**parts, "config.json": json.dumps(config)})
    assert load_any(str(path)).layers[1].activation is keras.activations.relu


def test_the_check_leaves_the_folder_as_it_was(tmp_path, parts):
    path = tmp_path / "model.keras"
    write(path, parts)
    assert load_any(str(path)).name == "small"
    assert list(tmp_path.iterdir()) == [pathlib.Path(path)]
