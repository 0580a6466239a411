import io
import os
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from care_keras.data.preprocessing import (
    decode_image,
    in_channels,
    normalization,
    normalize,
    prepare,
    resize_and_crop,
)
from care_keras.data.sources import open_source
from care_keras.models import Preprocessing


@pytest.fixture(scope="module")
def photo():
    """A real image, enlarged to sides that differ."""
    image = Image.fromarray(open_source("bundled", "test")[0])
    return np.asarray(image.resize((96, 60), Image.Resampling.BICUBIC))


def encoded(image, file_format, **options):
    stream = io.BytesIO()
    image.save(stream, file_format, **options)
    return stream.getvalue()


def test_decodes_bytes_and_paths_alike(photo, tmp_path):
    content = encoded(Image.fromarray(photo), "PNG")
    (tmp_path / "photo.png").write_bytes(content)
    for source in (content, tmp_path / "photo.png", str(tmp_path / "photo.png")):
        np.testing.assert_array_equal(decode_image(source), photo)
    assert decode_image(content).dtype == np.uint8


def test_greyscale_palette_and_alpha_become_rgb(photo):
    image = Image.fromarray(photo)
    grey = image.convert("L")
    expected = np.repeat(np.asarray(grey)[..., None], 3, axis=-1)
    np.testing.assert_array_equal(decode_image(encoded(grey, "PNG")), expected)

    palette = image.quantize(16)
    np.testing.assert_array_equal(
        decode_image(encoded(palette, "PNG")), np.asarray(palette.convert("RGB"))
    )
    transparent = image.copy()
    transparent.putalpha(Image.fromarray(np.arange(5760, dtype=np.uint8).reshape(60, 96)))
    np.testing.assert_array_equal(decode_image(encoded(transparent, "PNG")), photo)


@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "PPM"])
def test_16_bit_greyscale_is_scaled(photo, file_format):
    grey = photo[..., 0]
    image = Image.fromarray(grey.astype(np.uint16) * 256 + 77)
    expected = np.repeat(grey[..., None], 3, axis=-1)
    np.testing.assert_array_equal(decode_image(encoded(image, file_format)), expected)


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_numbers_without_a_white_are_refused(photo, dtype):
    content = encoded(Image.fromarray(photo[..., 0].astype(dtype)), "TIFF")
    with pytest.raises(ValueError, match=r"Received: \d+ bytes \(nothing says which .* is white\)"):
        decode_image(content)


def test_the_first_picture_of_an_animation(photo):
    first = Image.fromarray(photo).quantize(16)
    content = encoded(first, "GIF", save_all=True, append_images=[first.rotate(180)])
    np.testing.assert_array_equal(decode_image(content), np.asarray(first.convert("RGB")))


def test_cmyk_jpeg_has_the_colours_of_the_photo(photo):
    content = encoded(Image.fromarray(photo).convert("CMYK"), "JPEG", quality=95)
    difference = np.abs(decode_image(content).astype(int) - photo)
    assert difference.mean() < 4


def stored_turned(photo, orientation):
    """The pixels of a file whose orientation brings them back."""
    turned = {
        1: photo,
        2: photo[:, ::-1],
        3: photo[::-1, ::-1],
        4: photo[::-1],
        5: photo.swapaxes(0, 1),
        6: photo.swapaxes(0, 1)[::-1],
        7: photo.swapaxes(0, 1)[::-1, ::-1],
        8: photo.swapaxes(0, 1)[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    return np.ascontiguousarray(turned), exif


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("file_format", "options"),
    [
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        # Pillow turns these itself; with a compression by another way.
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
    ],
)
def test_exif_orientation_brings_it_upright(photo, orientation, file_format, options):
    pixels, exif = stored_turned(photo, orientation)
    content = encoded(Image.fromarray(pixels), file_format, exif=exif, **options)
    np.testing.assert_array_equal(decode_image(content), photo)


@pytest.mark.parametrize("orientation", [3, 6])
@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
@pytest.mark.parametrize("bits", [8, 16])
def test_exif_orientation_of_greys(photo, file_format, orientation, bits):
    pixels, exif = stored_turned(photo[..., 0], orientation)
    pixels = pixels if bits == 8 else pixels.astype(np.uint16) * 256 + 77
    content = encoded(Image.fromarray(pixels), file_format, exif=exif)
    np.testing.assert_array_equal(decode_image(content), np.stack([photo[..., 0]] * 3, -1))


def test_damaged_exif_does_not_cost_the_image(photo):
    content = encoded(Image.fromarray(photo), "PNG", exif=b"Exif\x00\x00nonsense")
    np.testing.assert_array_equal(decode_image(content), photo)


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n", b"BM" + b"\xff" * 100])
def test_what_is_no_image(content, tmp_path):
    with pytest.raises(ValueError, match=rf"Received: {len(content)} bytes"):
        decode_image(content)
    path = tmp_path / "bad.jpg"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"Received: .*bad\.jpg"):
        decode_image(path)


def test_missing_file_and_folder(tmp_path):
    for path in (tmp_path / "missing.jpg", tmp_path):
        with pytest.raises(ValueError, match="Received: "):
            decode_image(path)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"])
def test_damaged_files_are_refused_or_decoded(file_format, photo):
    """Any damage leads to an image or to ValueError, and to no other error."""
    content = encoded(Image.fromarray(photo), file_format)
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(60):
        damaged = bytearray(content)
        damaged[rng.integers(len(content) // 4)] ^= rng.integers(1, 256)
        try:
            assert decode_image(bytes(damaged)).shape[-1] == 3
        except ValueError:
            refused += 1
    assert refused > 0
    with pytest.raises(ValueError, match="Received: "):
        decode_image(content[: len(content) // 2])


def record(height, width, crop_ratio=1.0, interpolation="bicubic"):
    return Preprocessing(
        height=height, width=width, crop_ratio=crop_ratio, interpolation=interpolation
    )


@pytest.mark.parametrize("crop_ratio", [1.0, 0.875, 0.3])
@pytest.mark.parametrize("size", [(32, 32), (60, 96), (17, 40), (50, 9), (224, 192), (1, 1)])
def test_every_size_is_met(photo, size, crop_ratio):
    cropped = resize_and_crop(photo, record(*size, crop_ratio))
    assert (cropped.shape, cropped.dtype) == ((*size, 3), np.uint8)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2, 999)])
def test_extreme_images(shape):
    image = np.full((*shape, 3), 200, np.uint8)
    cropped = resize_and_crop(image, record(12, 20, 0.875))
    np.testing.assert_array_equal(cropped, np.full((12, 20, 3), 200, np.uint8))


def test_equal_size_is_the_identity(photo):
    np.testing.assert_array_equal(resize_and_crop(photo, record(60, 96)), photo)


def test_crop_without_resizing_takes_the_centre(photo):
    np.testing.assert_array_equal(resize_and_crop(photo, record(60, 60)), photo[:, 18:78])
    np.testing.assert_array_equal(resize_and_crop(photo, record(30, 48, 0.5)), photo[15:45, 24:72])


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear", "nearest"])
@pytest.mark.parametrize(
    ("size", "resized", "box"),
    [
        # The crop is 0.5 of the short side: 30 is resized to 60 high, 96 wide.
        ((40, 40), (128, 80), (44, 20, 84, 60)),
        # Wider than the photo: the width decides.
        ((20, 60), (120, 75), (30, 28, 90, 48)),
        # Enlarged.
        ((100, 100), (320, 200), (110, 50, 210, 150)),
    ],
)
def test_agrees_with_pillow(photo, interpolation, size, resized, box):
    resampling = Image.Resampling[interpolation.upper()]
    expected = Image.fromarray(photo).resize(resized, resampling).crop(box)
    cropped = resize_and_crop(photo, record(*size, 0.5, interpolation))
    np.testing.assert_array_equal(cropped, np.asarray(expected))


@pytest.mark.parametrize("size", [(60, 96), (40, 40), (100, 30)])
def test_all_of_a_stretched_image_is_there(photo, size):
    stretched = Preprocessing(*size, crop_ratio=0.5, interpolation="bilinear", fit="stretch")
    expected = Image.fromarray(photo).resize(size[::-1], Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(resize_and_crop(photo, stretched), np.asarray(expected))
    grey = Preprocessing(*size, mean=(0.5,), std=(0.5,), fit="stretch")
    assert resize_and_crop(photo, grey).shape == (*size, 1)


def test_imagenet_recipe(imagenet_folder):
    """Short side to 256, the centre 224: the evaluation of the published weights."""
    source = open_source(str(imagenet_folder)).sample(5)
    for i in range(len(source)):
        image = Image.fromarray(source[i])
        scale = 256 / min(image.size)
        width, height = (int(side * scale) for side in image.size)
        left, top = round((width - 224) / 2), round((height - 224) / 2)
        expected = image.resize((width, height), Image.Resampling.BICUBIC).crop(
            (left, top, left + 224, top + 224)
        )
        actual = resize_and_crop(source[i], Preprocessing(224, 224))
        np.testing.assert_array_equal(actual, np.asarray(expected))


@pytest.mark.parametrize(
    ("image", "received"),
    [
        (np.zeros((4, 4, 3), np.float32), r"dtype=float32, shape=\(4, 4, 3\)"),
        (np.zeros((4, 4), np.uint8), r"dtype=uint8, shape=\(4, 4\)"),
        (np.zeros((4, 4, 4), np.uint8), r"dtype=uint8, shape=\(4, 4, 4\)"),
    ],
)
def test_resize_errors(image, received):
    with pytest.raises(ValueError, match=rf"Received: {received}$"):
        resize_and_crop(image, record(2, 2))


def test_normalize_is_its_formula(photo):
    preprocessing = Preprocessing(60, 96, mean=(0.1, 0.5, 0.9), std=(0.2, 0.5, 2.0))
    expected = (photo / 255.0 - np.array(preprocessing.mean)) / np.array(preprocessing.std)
    outputs = normalize(photo, preprocessing)
    assert outputs.dtype == np.float32
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
    scale, offset = normalization(preprocessing)
    assert scale.dtype == offset.dtype == np.float32
    np.testing.assert_array_equal(outputs, photo.astype(np.float32) * scale + offset)


def test_prepare_is_both_steps(photo):
    preprocessing = Preprocessing(24, 40)
    np.testing.assert_array_equal(
        prepare(photo, preprocessing),
        normalize(resize_and_crop(photo, preprocessing), preprocessing),
    )


def test_grey_is_luma(photo):
    """ITU-R 601; what is grey already keeps its values."""
    expected = photo @ np.array([0.299, 0.587, 0.114])
    assert np.abs(in_channels(photo, 1)[..., 0] - expected).max() <= 0.51
    ramp = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=-1)
    np.testing.assert_array_equal(in_channels(ramp, 1), ramp[..., :1])
    assert in_channels(photo, 3) is photo


def test_grey_before_it_is_resized(photo):
    record = Preprocessing(20, 30, mean=(0.5,), std=(0.25,), crop_ratio=1.0)
    pixels = resize_and_crop(photo, record)
    assert pixels.shape == (20, 30, 1) and pixels.dtype == np.uint8
    grey = Image.fromarray(photo).convert("L").resize((32, 20), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(pixels[..., 0], np.asarray(grey)[:, 1:31])
    np.testing.assert_allclose(prepare(photo, record), (pixels / 255 - 0.5) / 0.25, atol=1e-6)


def png(*chunks):
    """A PNG of such chunks, their checksums right."""
    parts = [b"\x89PNG\r\n\x1a\n"]
    for kind, data in chunks:
        check = zlib.crc32(kind + data).to_bytes(4, "big")
        parts += [len(data).to_bytes(4, "big"), kind, data, check]
    return b"".join(parts)


def head(width, height, depth=8, kind=2):
    sizes = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return b"IHDR", sizes + bytes((depth, kind, 0, 0, 0))


PIXELS = (b"IDAT", zlib.compress(bytes(100)))
DAMAGED = {
    # What Pillow's readers let through as they find it: struct.error, IndexError, EOFError, ...
    "short head": png((b"IHDR", b"\0\0"), PIXELS),
    "short ICC profile": png(head(4, 4), (b"iCCP", b""), PIXELS),
    "no pixels": png(head(4, 4), (b"IEND", b"")),
    "wide TIFF": b"II*\0\x08\0\0\0\x01\0\0\x01\x04\0\xff\xff\xff\xff\0\0\0\0\0\0\0\0",
    "GIF cut": b"GIF89a\x04\0\x04\0\xf0",
    "PPM without size": b"P6 ",
    "PPM of words": b"P6 a b c\n",
    "more than Pillow takes": png(head(20_000, 20_000), PIXELS),
    "more than Pillow takes without a word": png(head(10_000, 10_000), PIXELS),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_files_are_one_line(kind, recwarn):
    with pytest.raises(ValueError, match="^Cannot decode the image. Received: ") as error:
        decode_image(DAMAGED[kind])
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


def test_what_is_damaged_beside_the_pixels_is_not_told():
    """Pillow warns of a tag that it cannot read, in two lines of its own source."""
    exif = Image.Exif()
    exif[0x9286] = b"x" * 20
    content = encoded(Image.new("RGB", (4, 4)), "JPEG", exif=exif).replace(
        b"\0\0\0\x14", b"\0\0\xff\xff"
    )
    code = (
        "import sys; from care_keras.data.preprocessing import decode_image; "
        "print(decode_image(sys.stdin.buffer.read()).shape)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=content,
        env=os.environ | {"CARE_KERAS_COMMAND": "1"},
        capture_output=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == (b"(4, 4, 3)\n", b"")


def test_a_strip_does_not_become_a_wall():
    """Of 1 x 50,000 pixels a height of 256 would make 3.3 thousand million."""
    strip = np.zeros((1, 50_000, 3), np.uint8)
    with pytest.raises(ValueError, match="The image would become .* Received: 50000 x 1 pixels"):
        resize_and_crop(strip, Preprocessing(224, 224))
    with pytest.raises(ValueError, match="crop_ratio=1e-06"):
        resize_and_crop(strip[:, :1], Preprocessing(8, 8, crop_ratio=1e-6))
