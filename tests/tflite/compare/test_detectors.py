"""A detector picks no largest of its values: its outputs are told by their noise alone."""

import json

from tests.tflite.commands import run_here
from tests.tflite.dense_models import write_dense_model


def test_a_detectors_outputs_have_no_largest_that_counts(dense_folder, tmp_path):
    photos = dense_folder / "bccd" / "images"
    saved, converted = write_dense_model("detection", tmp_path, photos)
    flags = (f"--keras={saved}", f"--model={converted}", f"--data={photos}", "--samples=2")
    flags += ("--layer_samples=1", "--min_snr_db=-100", "--output_json=compared.json")
    done = run_here("tflite.compare", *flags, folder=tmp_path)
    content = json.loads((tmp_path / "compared.json").read_text())
    assert done.returncode == 0, done.stderr
    outputs = {one["name"]: one for one in content["outputs"]}
    assert outputs.keys() == {"location", "score"}
    for one in outputs.values():
        assert one["agreement"] is None and one["snr_db"] > 5
