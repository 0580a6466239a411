"""Each rewrite of the deploy form, timed against the form without it."""

import functools
import pathlib

import numpy as np
import pytest

from care_keras.convert.conversion import convert_model
from care_keras.litert.model import LiteRTModel
from care_keras.quantization import QuantizationConfig
from care_keras.tflite_file.reader import read_graph
from tests.care_keras.helpers import tiny_classifier
from tests.care_keras.quantization.samples import RECORD, photos
from tests.tflite.latencies import made_up
from tflite.benchmark_forms import rewrites
from tflite.benchmark_forms.rewrites import REWRITES, file_name

ABSENT = ("has", "no", "such", "form,", "or", "does", "not", "run")


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    model = tiny_classifier(classes=10, preprocessing=RECORD, classifier_activation=None)
    folder = tmp_path_factory.mktemp("rewrites")
    # What calibration takes long for changes no graph.
    quick = QuantizationConfig(refine_attention=False, correct_biases=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            rewrites, "convert_model", functools.partial(convert_model, quantization=quick)
        )
        return {path.name: path for path in rewrites.write_rewrites(model, photos(2), folder)}


def operators(path):
    return [operator.name for operator in read_graph(path).main.operators]


def test_each_rewrite_changes_the_graph(paths):
    absent = {file_name("int8", "division_free")}
    every = {file_name(p, name) for p in rewrites.PRECISIONS for name in (None, *REWRITES)}
    assert paths.keys() == every - absent
    for precision in rewrites.PRECISIONS:
        default = operators(paths[file_name(precision, None)])
        for rewrite in REWRITES:
            if file_name(precision, rewrite) in absent:
                continue
            assert operators(paths[file_name(precision, rewrite)]) != default, (
                f"{precision} {rewrite}"
            )


def test_no_rewrite_changes_the_outputs(paths):
    image = np.random.default_rng(0).normal(size=(1, *photos(1).shape[1:])).astype("float32")
    expected = LiteRTModel(paths[file_name("float32", None)]).predict(image)
    for rewrite in REWRITES:
        found = LiteRTModel(paths[file_name("float32", rewrite)]).predict(image)
        np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_ratios_say_what_a_rewrite_gains():
    """The time with it over the time without, whichever of both the default is."""
    times = {file_name("int8", None): 2.0}
    times |= {file_name("int8", name): 4.0 for name in REWRITES if name != "division_free"}
    latencies = [made_up(pathlib.Path(name), time) for name, time in times.items()]
    table = rewrites.rewrite_table(latencies, 0)
    rows = {tuple(line.split()[:2]): line.split()[2:] for line in table.splitlines()[2:]}
    assert rows["division_free", "int8"][2:] == [
        "-",
        *["has", "no", "such", "form,", "or", "does", "not", "run"],
    ]
    assert rows["merge_heads", "float32"][2:] == [
        "-",
        *["has", "no", "such", "form,", "or", "does", "not", "run"],
    ]
    made, threads, ratio, *_ = rows["merge_heads", "int8"]
    assert (made, threads) == ("yes", "1") and float(ratio[:-1]) == pytest.approx(0.5, rel=0.05)
    made, threads, ratio, *_ = rows["dense_narrow", "int8"]
    assert (made, threads) == ("no", "1") and float(ratio[:-1]) == pytest.approx(2.0, rel=0.05)
