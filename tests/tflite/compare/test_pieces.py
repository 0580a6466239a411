"""A layer that the file has other operations for than this version of the deploy form."""

from care_keras.deploy import care_layers, fuse
from care_keras.emit.network import emit_tflite
from tests.care_keras.quantization.samples import SIZE
from tests.tflite.compare.test_faults import shuffled, with_constant, writer_of
from tests.tflite.compare.test_layers import layers_of, training_form

# The inner 5x5, and the ring around it.
OTHER_PIECES = (
    (slice(1, 6), slice(1, 6)),
    (slice(0, 7, 6), slice(1, 6, 2)),
    (slice(0, 7, 6), slice(0, 7, 2)),
    (slice(1, 6, 2), slice(0, 7, 6)),
    (slice(2, 5, 2), slice(0, 7, 6)),
)


def test_pieces_that_are_others_are_not_compared(tmp_path, monkeypatch):
    """Another version's way to split a 7x7: pieces of the same names, whose sum is the same."""
    others = [fuse(training_form())]
    monkeypatch.setattr(care_layers, "SEVEN_BY_SEVEN", OTHER_PIECES)
    others.append(fuse(training_form()))
    data = emit_tflite(others[1], SIZE)
    found = layers_of(others[0], data, tmp_path).layers
    assert found.first_wrong is None
    assert "stage1_block1_mixer_local_7x7_piece1" in found.decomposed_differently
    assert not found.misled and not found.undecided
    compared_names = {layer.name for layer in found.layers}
    assert "stage1_block1_mixer_output" in compared_names
    assert not compared_names & set(found.decomposed_differently)
    # A fault outside is found where it is, and one of a piece where their sum goes.
    for name, found_in in (
        ("stage1_block1_mixer_local_3x3", "stage1_block1_mixer_local_3x3"),
        ("stage1_block1_mixer_local_7x7_piece2", "stage1_block1_mixer_output"),
    ):
        broken = with_constant(data, writer_of(data, name), 1, shuffled)
        found = layers_of(others[0], broken, tmp_path).layers
        assert [x.name for x in found.layers if not x.own.right] == [found_in]
