"""Layers of small files against their Keras models, whole ones and broken ones."""

import functools

import pytest

from care_keras.emit.network import emit_tflite
from care_keras.models import CAREClassifier
from care_keras.tflite_file import read_graph
from tests.care_keras.helpers import tiny_backbone, tiny_classifier
from tests.care_keras.quantization.samples import RECORD, SIZE, deploy_form, quantized_form
from tests.tflite.compare import test_names as foreign
from tests.tflite.compare.photos import photos
from tflite.audit.xnnpack import Delegation
from tflite.compare.comparison import compare
from tflite.compare.opened import Pair, file_kind
from tflite.inputs.image_file import ImageFile
from tflite.inputs.records import ModelInput

IMAGES = 4


@functools.cache
def training_form():
    return tiny_classifier(classes=10, preprocessing=RECORD, classifier_activation=None)


@functools.cache
def content(kind):
    """A file: `float32` of the deploy form, `int8` of the quantized form, `foreign`."""
    if kind == "foreign":
        return foreign.file()
    if kind == "int8":
        return emit_tflite(quantized_form(), SIZE, input_kind="rgb_uint8")
    return emit_tflite(deploy_form(), SIZE)


def layers_of(*args, **kwargs):
    """Compares all layers, and the outputs."""
    return layers_and_pair(*args, **kwargs)[0]


def layers_and_pair(model, data, path, record=RECORD, keras_record=None, **kwargs):
    path = path / "model.tflite"
    path.write_bytes(data)
    file = read_graph(path)
    kind = "rgb_uint8" if file.inputs[0].dtype == "uint8" else "float"
    prepared = ModelInput(kind, record)
    pair = Pair(
        "model.keras",
        model,
        ModelInput("float", keras_record or record),
        str(path),
        file,
        file_kind(file),
        prepared,
        ImageFile(path, prepared),
        Delegation(frozenset(), 0, {}),
    )
    return compare(pair, photos(pair, range(IMAGES)), IMAGES, **kwargs), pair


MODELS = {
    "float32": (deploy_form, "float32", RECORD),
    "training": (training_form, "float32", RECORD),
    "int8": (quantized_form, "int8", RECORD),
    "int8 against float": (deploy_form, "int8", RECORD),
    "foreign": (foreign.network, "foreign", foreign.RECORD),
}


def compared(name, path, change=lambda data: data):
    make, kind, record = MODELS[name]
    model = make()
    own = getattr(model, "preprocessing", None)
    return layers_of(model, change(content(kind)), path, record, own)


@pytest.mark.parametrize("name", MODELS)
def test_whole_files_are_right(name, tmp_path):
    found = compared(name, tmp_path)
    layers = found.layers
    assert layers.first_wrong is None
    assert not (layers.misled or layers.undecided or layers.decomposed_differently)
    assert len(layers.layers) >= (13 if name == "foreign" else 60)
    assert found.layer_images == found.layer_images_identical == IMAGES
    if "int8" not in name:
        assert min(x.own.snr_db for x in layers.layers) > 100.0
        assert found.output.agreement == 1.0 and found.output.figures.snr_db > 90.0
    elif name == "int8":
        assert all(x.own.codes_equal > 0.98 for x in layers.layers)
        assert max(x.own.max_code_difference for x in layers.layers) <= 1
    else:
        assert 10.0 < min(x.snr_db for x in layers.layers) < 40.0


def test_a_model_of_other_widths_does_not_fit(tmp_path):
    backbone = tiny_backbone(expansion_ratios=((2, 2), (2, 3)))
    wider = CAREClassifier(backbone, classes=10, preprocessing=RECORD)
    wanted = r"stage1_block1_inter1_expand of \(8, 12, 6\) in the file, \(8, 12, 12\) in Keras"
    with pytest.raises(ValueError, match=wanted):
        layers_of(wider, content("float32"), tmp_path)


def test_a_stricter_criterion(tmp_path):
    found = layers_of(
        foreign.network(), content("foreign"), tmp_path, foreign.RECORD, min_snr_db=300.0
    )
    assert found.criterion.min_snr_db == 300.0
    assert found.layers.first_wrong is found.layers.layers[0]
