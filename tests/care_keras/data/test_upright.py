import numpy as np
import pytest
from PIL import ExifTags, Image

from care_keras.data.preprocessing import decode_image
from care_keras.data.upright import stored_form


@pytest.fixture(params=[("png", n) for n in range(1, 9)] + [("tif", 3), ("tif", 6), ("jpg", 8)])
def stored(request, tmp_path):
    """An image that is black but for a rectangle, its file, and that rectangle as stored."""
    suffix, orientation = request.param
    ymin, xmin, ymax, xmax = 3, 8, 11, 32
    pixels = np.zeros((24, 40, 3), np.uint8)
    pixels[ymin:ymax, xmin:xmax] = 255
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path = tmp_path / f"turned.{suffix}"
    Image.fromarray(pixels).save(path, exif=exif)
    return path, np.array([[ymin, xmin, ymax, xmax]], np.float32), pixels[..., 0]


def test_boxes_and_masks_turn_with_their_image(stored):
    path, boxes, mask = stored
    image, form = decode_image(path), stored_form(path)
    assert form.size == (24, 40) and form.upright_size == image.shape[:2]
    ((ymin, xmin, ymax, xmax),) = form.turned_boxes(boxes).astype(int)
    expected = np.zeros(image.shape[:2], np.uint8)
    expected[ymin:ymax, xmin:xmax] = 255
    # JPEG's ringing.
    assert np.abs(image[..., 0].astype(int) - expected).max() < 40
    np.testing.assert_array_equal(form.turned_mask(mask), expected)


def test_what_was_drawn_on_the_upright_image(stored):
    form = stored_form(stored[0])
    assert not form.has_turned(form.size)
    assert form.has_turned((40, 24)) == (form.upright_size == (40, 24))
    assert not form.has_turned((12, 20))


def test_what_is_no_image(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"text")
    for source, name in ((tmp_path / "a.jpg", "a.jpg"), (b"text", "4 bytes")):
        with pytest.raises(ValueError, match=rf"^Cannot decode the image\. Received: .*{name} \("):
            stored_form(source)
