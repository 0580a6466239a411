import pytest

from care_keras.json_shape import anything, each, maybe, misfit, number, positive, text, whole

SHAPE = {
    "name": text,
    "sizes": [whole],
    "share?": maybe(number),
    "inner": {"time": positive, "more": each([anything])},
}
SOUND = {"name": "a", "sizes": [1, 2], "share": None, "inner": {"time": 0.5, "more": {"x": [1]}}}


def test_what_has_the_shape():
    assert misfit(SOUND, SHAPE) is None
    # More than is asked, and less than may be there.
    assert misfit(SOUND | {"other": object()}, SHAPE) is None
    assert misfit({key: SOUND[key] for key in ("name", "sizes", "inner")}, SHAPE) is None


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"name": 1}, "name"),
        ({"name": "\ud800"}, "name"),
        ({"sizes": 3}, "sizes"),
        ({"sizes": [1, 2.0]}, "sizes[1]"),
        ({"sizes": [True]}, "sizes[0]"),
        ({"sizes": [2**64]}, "sizes[0]"),
        ({"share": float("nan")}, "share"),
        ({"share": float("inf")}, "share"),
        ({"share": 10**400}, "share"),
        ({"share": "1"}, "share"),
        ({"inner": []}, "inner"),
        ({"inner": {"time": 0, "more": {}}}, "inner.time"),
        ({"inner": {"time": 5e-324, "more": {}}}, "inner.time"),
        ({"inner": {"time": 1}}, "inner.more"),
        ({"inner": {"time": 1, "more": {"x": 1}}}, "inner.more"),
    ],
)
def test_the_place_that_has_it_not(changes, place):
    assert misfit(SOUND | changes, SHAPE) == place


def test_what_is_nothing_of_the_kind():
    for value in (None, 1, [], "x"):
        assert misfit(value, SHAPE) == "it"
