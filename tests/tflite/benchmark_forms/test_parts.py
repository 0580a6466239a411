"""The parts of detectors and segmenters: which layers they are, their files, their times."""

import pathlib

import numpy as np
import pytest

from care_keras.models import CAREBackbone, RetinaNet, SemanticFPN
from care_keras.tflite_file.reader import read_graph
from tests.care_keras.helpers import TINY, tiny_classifier
from tests.tflite.dense_models import RECORD
from tests.tflite.latencies import made_up, made_up_of
from tflite.benchmark_forms import parts

NETWORKS = {"detection": RetinaNet, "segmentation": SemanticFPN}


def network(task, **arguments):
    backbone = CAREBackbone(**TINY.backbone_kwargs(), image_shape=(64, 96, 3))
    return NETWORKS[task](backbone, 3, preprocessing=RECORD, **arguments)


@pytest.mark.parametrize("head", ["lite", "paper"])
@pytest.mark.parametrize("task", NETWORKS)
def test_each_part_ends_where_the_next_begins(task, head):
    model = network(task, head=head)
    backbone, with_neck, whole = parts.networks(model)
    assert whole is model
    existing = [tensor.shape[-1] for tensor in model.backbone.pyramid_outputs.values()]
    assert [tensor.shape[-1] for tensor in backbone.outputs] == existing[-len(backbone.outputs) :]
    widths = {tensor.shape[-1] for tensor in with_neck.outputs}
    assert len(widths) == 1 and len(with_neck.outputs) >= len(backbone.outputs)
    layers = [
        {layer.name for layer in one.layers if layer.weights} for one in (backbone, with_neck)
    ]
    assert layers[0] < layers[1]
    rest = {layer.name for layer in model.layers if layer.weights} - layers[1]
    assert rest
    assert not any(name.endswith(("_lateral", "_smooth", "_down")) for name in rest)


def test_levels_beyond_the_backbone_are_of_the_neck():
    model = network("detection", levels=(3, 4, 5))
    _, with_neck, _ = parts.networks(model)
    assert len(with_neck.outputs) == 3


def test_a_classifier_has_no_such_parts():
    with pytest.raises(ValueError, match="Received: CAREClassifier"):
        parts.networks(tiny_classifier(classes=10, preprocessing=RECORD))


def test_files_hold_one_part_more_each(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 96, 3), np.uint8)
    paths = parts.write_parts(network("segmentation"), images, tmp_path)
    assert [path.stem for path in paths] == list(parts.FILES)
    counts = [len(read_graph(path).main.operators) for path in paths]
    assert counts == sorted(set(counts))


def test_times_are_differences():
    times = {"backbone_int8": 5.0, "with_neck_int8": 6.0, "whole_int8": 10.0}
    rows = [line.split() for line in parts.part_table(made_up_of(times), 0).splitlines()[2:]]
    assert [row[:2] for row in rows] == [
        [part, threads] for threads in "12" for part in parts.PARTS
    ]
    shares = [float(row[-1].rstrip("%")) for row in rows]
    assert shares == pytest.approx([50, 10, 40] * 2, abs=3)


def test_a_file_that_does_not_run_is_said():
    latencies = [made_up(pathlib.Path("whole_int8.tflite"), 1.0, 1)]
    table = parts.part_table(latencies, 0)
    assert table.count("one does not run") == 3
