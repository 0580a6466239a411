"""Encoded images of every kind that the library opens, flat and with something in them."""

import io

import numpy as np
from PIL import Image

from care_keras.data.preprocessing import decode_image, resize_and_crop
from care_keras.data.record import Preprocessing
from tests.fuzz.formats import Format
from tests.fuzz.mutate import picture

# Per ending: modes, and options to save with.
_KINDS = {
    "PNG": (("1", "L", "LA", "P", "RGB", "RGBA", "I;16"), ({}, {"optimize": True})),
    "JPEG": (("L", "RGB", "CMYK"), ({}, {"progressive": True}, {"subsampling": 2})),
    "GIF": (("L", "P", "RGB"), ({}, {"interlace": 0})),
    "BMP": (("1", "L", "P", "RGB", "RGBA"), ({},)),
    "WEBP": (("RGB", "RGBA"), ({}, {"lossless": True})),
    "TIFF": (
        ("1", "L", "P", "RGB", "RGBA", "CMYK", "I;16", "F", "LAB"),
        ({}, {"compression": "tiff_lzw"}, {"compression": "packbits"}, {"compression": "jpeg"}),
    ),
    "PPM": (("1", "L", "RGB", "I"), ({},)),
}


def _corpus():
    files = {}
    waves = np.add.outer(np.arange(24), 3 * np.arange(20)) % 256
    for what, pixels in (("flat", np.full((24, 20), 90)), ("waves", waves)):
        grey = Image.fromarray(pixels.astype(np.uint8))
        for kind, (modes, choices) in _KINDS.items():
            for mode in modes:
                for number, options in enumerate(choices):
                    content = _saved(_in_mode(grey, pixels, mode), kind, options)
                    if content:
                        files[f"{kind} {mode} {number} {what}"] = content
    files["animated"] = _saved(
        grey.convert("P"), "GIF", {"save_all": True, "append_images": [grey]}
    )
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind in ("JPEG", "PNG", "WEBP", "TIFF"):
        files[f"{kind} turned"] = _saved(grey.convert("RGB"), kind, {"exif": exif})
    return files


def _in_mode(grey, pixels, mode):
    if mode in ("I;16", "I"):
        return Image.fromarray((pixels * 200).astype(np.uint16))
    if mode == "F":
        return Image.fromarray(pixels.astype(np.float32))
    if mode == "LAB":
        return Image.merge("LAB", (grey, grey, grey))
    return grey.convert(mode)


def _saved(image, kind, options):
    stream = io.BytesIO()
    try:
        image.save(stream, kind, **options)
    # Not every coder has every mode.
    except (OSError, KeyError, ValueError):
        return b""
    return stream.getvalue()


def _read(path):
    pixels = decode_image(path)
    assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3, pixels.shape
    assert resize_and_crop(pixels, Preprocessing(32, 32)).shape == (32, 32, 3)


FORMATS = {"images": Format(".image", _corpus, picture.mutate, _read)}
