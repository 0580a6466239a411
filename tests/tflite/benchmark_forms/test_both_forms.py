"""Both forms of a model, timed beside each other: the files, the ratios, the command."""

import numpy as np
import pytest

from care_keras.litert.model import LiteRTModel
from care_keras.tflite_file.integer_audit import audit_integer_only
from care_keras.tflite_file.reader import read_graph
from tests.care_keras.helpers import tiny_classifier
from tests.care_keras.quantization.samples import RECORD, photos
from tests.tflite.commands import run_here
from tests.tflite.latencies import made_up_of
from tflite.benchmark_forms import both_forms


def test_four_files_of_one_model(tmp_path):
    model = tiny_classifier(classes=10, preprocessing=RECORD, classifier_activation=None)
    paths = both_forms.write_forms(model, photos(4), tmp_path)
    assert [path.stem for path in paths] == list(both_forms.FILES)
    names = [{op.name for op in read_graph(path).main.operators} for path in paths]
    # The training form divides and keeps its 7x7; the deploy form does neither.
    assert ["DIV" in found for found in names] == [True, True, False, False]
    errors = [
        any(finding.severity == "error" for finding in audit_integer_only(read_graph(path)))
        for path in paths
    ]
    assert errors == [True, True, True, False]
    outputs = [LiteRTModel(path) for path in (paths[0], paths[2])]
    images = np.random.default_rng(0).normal(size=(1, *photos(1).shape[1:])).astype("float32")
    first, second = (model.predict(images) for model in outputs)
    np.testing.assert_allclose(first, second, atol=1e-4 * max(1.0, np.abs(first).max()))


@pytest.mark.parametrize("name", ["nano", "s0"])
def test_random_weights_keep_the_scale(name):
    model = both_forms.load_model(name, seed=0)
    size = model.preprocessing.height, model.preprocessing.width
    images = np.random.default_rng(1).normal(size=(2, *size, 3)).astype("float32")
    outputs = np.asarray(model(images, training=False))
    assert np.isfinite(outputs).all() and len(np.unique(outputs)) > 2


def test_ratios_are_of_one_number_of_threads():
    times = {"training_float32": 4.0, "deploy_float32": 3.0, "deploy_int8": 2.0}
    rows = [line.split() for line in both_forms.ratio_table(made_up_of(times), 0).splitlines()[2:]]
    assert len(rows) == 8 and [row[2] for row in rows] == ["1"] * 4 + ["2"] * 4
    for row in rows:
        if "training_int8" in row[:2]:
            assert row[3] == "-" and row[4:] == ["one", "does", "not", "run"]
        else:
            assert float(row[3].rstrip("x")) == pytest.approx(
                times[row[0]] / times[row[1]], rel=0.02
            )


def test_bad_use_is_one_line_and_exit_code_2():
    result = run_here("tflite.benchmark_forms", "--model=missing.keras")
    assert result.returncode == 2, result.stderr
    assert "error: No such model file" in result.stderr and "Traceback" not in result.stderr
