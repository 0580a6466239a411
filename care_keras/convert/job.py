"""What a conversion is asked for."""

import dataclasses
import pathlib

from care_keras.data.overrides import InputOverrides

OUTPUT_TYPES = ("int8", "uint8", "float")
TARGETS = ("portable", "xnnpack")
CORES = ("any", "dotprod", "i8mm")
# Precisions of care_keras' own files that each of these is for.
PRECISIONS_WITH = {
    "output_type": ("int8",),
    "target": ("float32", "float16", "int8"),
    "core": ("int8",),
}


@dataclasses.dataclass(frozen=True)
class ConversionJob:
    """What `python -m care_keras.convert` was asked for; the flags name the fields.

    Attributes:
        model: Preset or path of a `.keras` file.
        output: Path of the .tflite file.
        precision: `"float32"`, `"float16"`, `"dynamic"` or `"int8"`.
        input_kind: `"float"` or `"rgb_uint8"`; `None` for pixels into an int8
            file of one image, else floats.
        batch: Images per inference.
        size: `(height, width)`, or `None` for the model's own.
        calibration: Images that set int8 ranges, or an .npz file with arrays of
            the inputs; held-out ones for the check.
        evaluation: Others that are held out, or `None`.
        samples: Calibration images, at most; `None` for as many as take some
            seconds.
        check_samples: Held-out images, likewise.
        mean: Per RGB channel, or one value of grey images, in units of full
            scale, for a model with no record of its own.
        std: Likewise.
        interpolation: How images are resized, for a model that does not say it.
        crop_ratio: Likewise, the share of the resized image that is cut out.
        fit: Likewise, `"crop"` or `"stretch"`.
        seed: Seed of the draws of images.
        allow_float_fallback: Whether an int8 file may hold operations that are
            not integer-only.
        report: Folder for a report on the layers of an int8 file, or `None`.
        float_layers: Shell patterns of the names of layers that an int8 file
            computes in float32.
        int16_layers: Likewise, in 16 bits.
        per_tensor_weights: Whether the weights of a layer of an int8 file have one
            step, and not one for each channel.
        min_agreement: Share of the held-out images that the file and the Keras
            model must pick one class for.
        output_type: Of an int8 file: `"int8"`, `"uint8"` or `"float"`; `None` for
            int8.
        target: Of a file that is not dynamic: `"portable"` or `"xnnpack"`; `None`
            for portable.
        core: Of an int8 file: the cores that it is to be fast on, `"any"`,
            `"dotprod"` or `"i8mm"`; `None` for any.
        metadata: Whether the file has metadata and labels for MediaPipe Tasks;
            `None` for classifiers of images that name their classes.
        reduced_precision: Whether a float file's metadata allow half-precision
            arithmetic.
        converter: `"care"`, or `"tensorflow"` to leave all to TensorFlow's.
    """

    model: str
    output: pathlib.Path
    precision: str
    input_kind: str | None
    batch: int = 1
    size: tuple[int, int] | None = None
    calibration: str = "bundled"
    evaluation: str | None = None
    samples: int | None = None
    check_samples: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    interpolation: str | None = None
    crop_ratio: float | None = None
    fit: str | None = None
    seed: int = 0
    allow_float_fallback: bool = False
    report: pathlib.Path | None = None
    float_layers: tuple[str, ...] = ()
    int16_layers: tuple[str, ...] = ()
    per_tensor_weights: bool = False
    min_agreement: float = 0.0
    output_type: str | None = None
    target: str | None = None
    core: str | None = None
    metadata: bool | None = None
    reduced_precision: bool = False
    converter: str = "care"

    @property
    def overrides(self) -> InputOverrides:
        """What is said of how images are prepared."""
        names = (field.name for field in dataclasses.fields(InputOverrides))
        return InputOverrides(**{name: getattr(self, name) for name in names})


def is_array_file(source: str | None) -> bool:
    """Whether what names examples is a file of arrays."""
    return source is not None and source.endswith(".npz")
