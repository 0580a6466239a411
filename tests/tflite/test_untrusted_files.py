"""Commands on files of someone else's: exit code 2, one line, nothing done and nothing left."""

import json
import zipfile

import keras
import pytest

from tests.care_keras.models.test_keras_file import SET_POLICY, operation
from tests.care_keras.training.runs import write_images
from tests.tflite.commands import run_here, run_process

OWN_LAYERS = """
import keras


@keras.saving.register_keras_serializable(package="mine")
class Doubled(keras.layers.Layer):
    def call(self, inputs):
        return inputs + inputs

    def compute_output_shape(self, shape):
        return shape
"""

# Where each command takes a `.keras` file.
CALLERS = {
    "convert": ("care_keras.convert", "--model={}", "--output=out.tflite", "--check_samples=8"),
    "convert by TensorFlow": (
        "care_keras.convert",
        "--model={}",
        "--converter=tensorflow",
        "--output=out.tflite",
    ),
    "train from": ("care_keras.train", "--data=images", "--run_dir=run", "--from={}"),
    "train qat": ("care_keras.train", "--data=images", "--run_dir=run", "--from={}", "--qat"),
    "teacher": ("care_keras.train", "--data=images", "--run_dir=run", "--teacher={}"),
    "evaluate": ("tflite.evaluate", "--model={}", "--samples=8", "--output_json=out.json"),
    "compare": ("tflite.compare", "--keras={}", "--model=other.tflite", "--output_json=out.json"),
    "benchmark_forms": ("tflite.benchmark_forms", "--model={}"),
}


def small_model():
    """The model that the files of someone else's are made of."""
    inputs = keras.Input((32, 32, 3), name="x")
    outputs = keras.layers.Dense(10, name="end")(keras.layers.GlobalAveragePooling2D()(inputs))
    return keras.Model(inputs, outputs, name="small")


def calls_a_function(config):
    """A node of no use: Keras calls its function while it loads the model."""
    config["config"]["layers"].append(operation("Switch", [0, [SET_POLICY], "mixed_float16"]))


def names_an_unknown_class(config):
    config["config"]["layers"][1] |= {
        "module": "their.layers",
        "class_name": "Theirs",
        "registered_name": "their>Theirs",
    }


def is_named_a_path(config):
    layer = config["config"]["layers"][1]
    layer["name"] = layer["config"]["name"] = "../../x"


def is_large(config):
    config["config"]["padding"] = " " * 300 * 2**20


ATTACKS = {
    calls_a_function: "'keras.src.ops.core.Switch', which can run code",
    names_an_unknown_class: "'their.layers.Theirs', which is neither Keras's nor care_keras's; "
    "--import=MODULE",
    is_named_a_path: "could be taken for a path: '../../x'",
    is_large: "unpacks to more than 100 times its size",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A file for each attack, real images, and a `.tflite` file."""
    folder = tmp_path_factory.mktemp("untrusted")
    write_images(folder / "images")
    small_model().save(folder / "model.keras")
    with zipfile.ZipFile(folder / "model.keras") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    for change in ATTACKS:
        config = json.loads(parts["config.json"])
        change(config)
        with zipfile.ZipFile(folder / f"{change.__name__}.keras", "w", zipfile.ZIP_DEFLATED) as out:
            for name, content in parts.items():
                out.writestr(name, json.dumps(config) if name == "config.json" else content)
    done = run_here(
        "care_keras.convert", "--output=other.tflite", "--check_samples=8", folder=folder
    )
    assert done.returncode == 0, done.stderr
    return folder


def settings():
    config = keras.config
    return keras.dtype_policies.get(None).name, config.image_data_format(), config.floatx()


def check_refused(folder, words, message):
    """Runs a command in the folder: one line, exit code 2, and all is as before."""
    before, files = settings(), {path: path.stat().st_mtime_ns for path in folder.rglob("*.*")}
    done = run_here(*words, folder=folder)
    assert done.returncode == 2, done.stderr
    lines = done.stderr.splitlines()
    assert lines[-1].startswith("error: ") and message in lines[-1], done.stderr
    # Progress and that a batch is cut may come before it.
    assert not [
        line for line in lines[:-1] if not line.startswith(("loading ", "warning: --batch"))
    ]
    assert settings() == before
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.*")} == files
    assert not (folder / "run").exists()


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda change: change.__name__)
def test_a_file_of_someone_elses(folder, attack, caller):
    words = [word.format(f"{attack.__name__}.keras") for word in CALLERS[caller]]
    check_refused(folder, words, ATTACKS[attack])


@pytest.mark.parametrize("caller", CALLERS)
def test_a_module_that_cannot_be_imported(folder, caller):
    words = [word.format("model.keras") for word in CALLERS[caller]]
    message = "--import=no.such_module cannot be imported: ModuleNotFoundError"
    check_refused(folder, [*words, "--import=no.such_module"], message)


def test_layers_of_ones_own(tmp_path):
    """They are found in the folder, and by the process that TensorFlow's converter runs in."""
    (tmp_path / "my_layers.py").write_text(OWN_LAYERS)
    scope = {}
    exec(OWN_LAYERS, scope)
    try:
        model = small_model()
        own = keras.Model(model.inputs, scope["Doubled"](name="doubled")(model.output))
        own.save(tmp_path / "own.keras")
    finally:
        keras.saving.get_custom_objects().pop("mine>Doubled")
    words = ("care_keras.convert", "--model=own.keras", "--output=own.tflite", "--check_samples=8")
    words += ("--mean=0.5,0.5,0.5", "--std=0.5,0.5,0.5")
    refused = run_here(*words, folder=tmp_path)
    assert refused.returncode == 2 and "Doubled'" in refused.stderr, refused.stderr
    done = run_process(*words, "--import=my_layers", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "own.tflite").is_file()
