"""A Keras model to the bytes of a .tflite file.

Functional and sequential models go through their deploy form and are written
by `care_keras.emit`, in every backend. What has no deploy form goes through
TensorFlow's converter: a float file as it comes, int8 by lifting a float one.
"""

import dataclasses
from collections.abc import Iterable, Sized

import keras
import numpy as np

from care_keras.convert.in_child import convert_in_child
from care_keras.convert.job import CORES, OUTPUT_TYPES, PRECISIONS_WITH, TARGETS
from care_keras.data.record import Preprocessing
from care_keras.deploy import Rewrites, fuse, lift
from care_keras.emit.network import emit_tflite
from care_keras.graph import functional_form, unfold
from care_keras.primitives.deploy_model import DeployModel
from care_keras.quantization import QuantizationConfig, calibrate, is_quantized, quantize
from care_keras.quantization.quantize import describe_operations, without_int8

PRECISIONS = ("float32", "float16", "dynamic", "int8")
INPUT_KINDS = ("float", "rgb_uint8")
CONVERTERS = ("care", "tensorflow")
# Pixels of one batch of calibration: 8 images of 224x224, whose tensors take some 500 MB.
_CALIBRATION_BATCH_PIXELS = 8 * 224 * 224


@dataclasses.dataclass(frozen=True)
class ConvertedModel:
    """A .tflite file.

    Attributes:
        content: Its bytes.
        preprocessing: How images are prepared for it, where its input kind is
            `"float"`; `None` if it takes none.
        quantized_form: What an int8 file was written from, or `None` if
            TensorFlow's converter made it.
    """

    content: bytes
    preprocessing: Preprocessing | None
    quantized_form: DeployModel | None = None


def convert_model(
    model: keras.Model,
    preprocessing: Preprocessing | None,
    precision: str = "float32",
    input_kind: str = "float",
    batch: int = 1,
    calibration: Iterable[np.ndarray | tuple[np.ndarray, ...]] | None = None,
    quantization: QuantizationConfig | None = None,
    converter: str = "care",
    output_type: str | None = None,
    target: str | None = None,
    core: str | None = None,
) -> ConvertedModel:
    """Converts a model to TFLite.

    Args:
        model: From `(batch, height, width, 3)` images, or 1 channel of grey ones,
            normalized as `preprocessing` says; or from any inputs.
        preprocessing: The model's record; its size is that of images that leave
            theirs open. `None` if the model takes none.
        precision: `"float32"`; `"float16"`, weights stored in half precision;
            `"dynamic"`, int8 weights and float activations; or `"int8"`.
        input_kind: `"float"`, normalized float32 images, or `"rgb_uint8"`, raw
            pixels; of several inputs where the `input_preprocessing` of a deploy
            form has images.
        batch: Images per inference.
        calibration: Of int8: uint8 images `(height, width, 3)` of the input's
            size that set the ranges of the activations; or tuples of what each
            input takes, in the model's order, as it takes it. A quantized form
            has its ranges, and needs none.
        quantization: Of int8: how the model is quantized; `int8_ptq()` by
            default.
        converter: `"tensorflow"` leaves all of it to TensorFlow's converter, in
            a process of its own.
        output_type: Of int8, for runtimes that do not take int8 outputs:
            `"uint8"`, the same codes and 128; or `"float"`, what they stand for.
            `"int8"` by default.
        target: `"portable"`, the default, of int8 operators on codes alone; or
            `"xnnpack"`, in int8 with functions spelled out so that XNNPACK makes
            tables of codes of them, and runs the file in one piece; in float
            with pixels folded as it likes them, and a GPU does not.
        core: Of int8: the cores that it is to be fast on: `"any"`, the default;
            `"dotprod"`, with dot products; or `"i8mm"`, with products of int8
            matrices. A deploy form is made for some already.

    Returns:
        The file. Its input and output are float32, but uint8 pixels with
        `"rgb_uint8"`, and int8 with `"int8"`: codes of pixels, 0 to 255.

    Raises:
        ValueError: If an argument is out of its range, or the model cannot
            take images of that size or cannot be expressed in TFLite; of int8,
            if it has layers without an int8 form.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"`precision` must be one of {PRECISIONS}. Received: {precision!r}")
    if input_kind not in INPUT_KINDS:
        raise ValueError(f"`input_kind` must be one of {INPUT_KINDS}. Received: {input_kind!r}")
    if converter not in CONVERTERS:
        raise ValueError(f"`converter` must be one of {CONVERTERS}. Received: {converter!r}")
    for name, value, values in (
        ("output_type", output_type, OUTPUT_TYPES),
        ("target", target, TARGETS),
        ("core", core, CORES),
    ):
        kinds = PRECISIONS_WITH[name]
        if value is not None and (precision not in kinds or converter == "tensorflow"):
            raise ValueError(
                f"`{name}` is of care_keras' own files in {', '.join(kinds)}. "
                f"Received: {name}={value!r}, precision={precision!r}, converter={converter!r}"
            )
        if value not in (None, *values):
            raise ValueError(f"`{name}` must be one of {values}. Received: {value!r}")
    if is_quantized(model) and precision != "int8":
        raise ValueError(
            f"A quantized form converts to int8 only. Received: precision={precision!r}"
        )
    given = calibration is not None and (not isinstance(calibration, Sized) or len(calibration))
    if precision == "int8" and not given and not is_quantized(model):
        what = None if calibration is None else "no image"
        raise ValueError(f"int8 needs images that set its ranges. Received: calibration={what}")
    if converter == "tensorflow":
        check_input_kind(model, precision, input_kind, converter)
        _check_kernels(model)
        content = convert_in_child(model, preprocessing, precision, input_kind, batch, calibration)
        return ConvertedModel(content, preprocessing)
    deployed = deploy_form(model, preprocessing, precision, core)
    check_input_kind(deployed, precision, input_kind, converter)
    size = (preprocessing.height, preprocessing.width) if preprocessing else (None, None)
    if needs_tensorflow(deployed, precision):
        if target == "xnnpack":
            raise ValueError(
                "TensorFlow's converter, which writes files of operations without primitives, has "
                f"no target: leave --target out. Received: target={target!r} and "
                f"{describe_operations(deployed.foreign_operations)}"
            )
        content = _by_tensorflow(deployed, preprocessing, precision, input_kind, batch)
        return ConvertedModel(content, preprocessing)
    if precision == "int8":
        if not is_quantized(deployed):
            deployed = int8_form(deployed, preprocessing)
            deployed = quantize(deployed, quantization)
            calibrate(deployed, _batches(calibration), quantization)
        content = emit_tflite(
            deployed,
            size,
            batch,
            input_kind,
            output_type=output_type or "int8",
            target=target or "portable",
        )
        return ConvertedModel(content, deployed.preprocessing, deployed)
    content = emit_tflite(
        deployed, size, batch, input_kind, weights=precision, target=target or "portable"
    )
    return ConvertedModel(content, preprocessing)


def needs_tensorflow(model: keras.Model, precision: str, converter: str = "care") -> bool:
    """Whether TensorFlow's converter writes the file.

    Args:
        model: The deploy form; of int8 the one that `int8_form` gives.
        precision: As of `convert_model`, and so is the other.
        converter: Likewise.
    """
    if converter == "tensorflow" or precision == "dynamic":
        return True
    return precision != "int8" and not is_compiled(model)


def check_input_kind(
    model: keras.Model, precision: str, input_kind: str, converter: str = "care"
) -> None:
    """Refuses raw pixels of several inputs where TensorFlow's converter would write the file.

    Args:
        model: The deploy form, or with `converter="tensorflow"` any.
        precision: As of `convert_model`, and so are the others.
        input_kind: Likewise.
        converter: Likewise.

    Raises:
        ValueError: If that is asked for.
    """
    if input_kind != "rgb_uint8" or len(model.inputs) == 1:
        return
    if converter == "tensorflow" or precision == "dynamic":
        asked = "--converter=tensorflow" if converter == "tensorflow" else "--precision=dynamic"
    elif precision == "int8" or is_compiled(model):
        return
    else:
        asked = f"a model with {describe_operations(model.foreign_operations)}"
    names = ", ".join(repr(tensor.name) for tensor in model.inputs)
    raise ValueError(
        "TensorFlow's converter, which writes that file, has raw pixels for a model of one image "
        f"alone: leave --input out. Received: input_kind='rgb_uint8' and {asked}, inputs {names}"
    )


def _check_kernels(model):
    """Refuses kernels that are codes, which TensorFlow's converter ends on without naming them."""
    steps = [] if functional_form(model) is None else unfold(model).steps
    names = [
        f"{step.operation.name!r} ({step.operation.dtype_policy.name})"
        for step in steps
        if getattr(step.operation, "quantization_mode", None)
    ]
    if names:
        raise ValueError(
            "TensorFlow's converter does not take layers that Keras has quantized; "
            f"--converter=care does. Received: {', '.join(names)}"
        )


def _by_tensorflow(deployed, preprocessing, precision, input_kind, batch):
    """What TensorFlow's converter makes of a model that is not all of primitives."""
    try:
        return convert_in_child(deployed, preprocessing, precision, input_kind, batch)
    except ValueError as error:
        foreign = getattr(deployed, "foreign_operations", [])
        if not foreign:
            raise
        raise ValueError(
            f"There are no primitives of {describe_operations(foreign)}, and TensorFlow's "
            f"converter does not take the model either; leave such layers out. {error}"
        ) from error


def default_rewrites(precision: str, core: str | None = None) -> Rewrites:
    """The rewrites of `fuse` that pay in a file of this precision, on cores of this kind."""
    is_float = precision in ("float32", "float16")
    # With dot products alone, fewer instructions in all, but more of vectors (docs/convert.md).
    dense = precision == "int8" and core == "i8mm"
    return Rewrites(small_sums=is_float, offset_by_add=is_float, dense_narrow=dense)


def is_compiled(model: keras.Model) -> bool:
    """Whether a model is a deploy form, all of primitives."""
    return isinstance(model, DeployModel) and not model.foreign_operations


def deploy_form(
    model: keras.Model,
    preprocessing: Preprocessing | None,
    precision: str = "float32",
    core: str | None = None,
) -> keras.Model:
    """The deploy form of a functional or sequential model; another as it is.

    Of a deploy form, which a file from elsewhere becomes, it is the one whose
    images are prepared as `preprocessing` says. A quantized form has its own way
    with them and is left alone. `convert_model` makes it by itself; who converts a
    model more than once makes it before.
    """
    as_it_is = functional_form(model) is None or is_quantized(model)
    if as_it_is or isinstance(model, DeployModel):
        if core not in (None, "any"):
            raise ValueError(
                "--core says how a deploy form is made, and this model is one already, or can be "
                f"none: leave --core out. Received: core={core!r}, model={model.name!r}"
            )
        return model if as_it_is else model.prepared_by(preprocessing)
    deployed = fuse(model, default_rewrites(precision, core))
    deployed.preprocessing = preprocessing
    return deployed


def int8_form(deployed: keras.Model, preprocessing: Preprocessing | None) -> DeployModel:
    """A deploy form that int8 takes whole, before minutes of work.

    Layers that have no primitives are written by TensorFlow's converter, and
    lifted from its file.

    Raises:
        ValueError: If there are operations without an int8 form; all are named.
    """
    if not is_compiled(deployed):
        deployed = _lifted(deployed, preprocessing)
    lacking = without_int8(deployed)
    if lacking:
        raise ValueError(
            "There are operations that int8 has no form of; --precision=float32, float16 and "
            f"dynamic take them. Received: {describe_operations(lacking)}"
        )
    return deployed


def _lifted(model, preprocessing):
    """A deploy form by way of TensorFlow's float file."""
    try:
        lifted = lift(convert_in_child(model, preprocessing, "float32", "float", 1))
    except ValueError as error:
        foreign = getattr(model, "foreign_operations", [])
        named = f" of {describe_operations(foreign)}" if foreign else ""
        raise ValueError(
            f"There are no primitives{named}, nor of what TensorFlow's converter makes of the "
            f"model; leave such layers out, or take --precision=float32. {error}"
        ) from error
    lifted.describe(model)
    lifted.preprocessing = preprocessing
    return lifted


def _batches(examples):
    """Single images, or tuples of several inputs, as float batches that fit into memory."""
    batch = []
    for example in examples:
        batch.append(example)
        arrays = example if isinstance(example, tuple) else (example,)
        pixels = sum(int(np.prod(one.shape[:2])) for one in arrays if one.ndim == 3)
        if len(batch) * max(1, pixels) >= _CALIBRATION_BATCH_PIXELS:
            yield _stacked(batch)
            batch = []
    if batch:
        yield _stacked(batch)


def _stacked(batch):
    if not isinstance(batch[0], tuple):
        return np.stack(batch).astype(np.float32)
    return [np.stack(one).astype(np.float32) for one in zip(*batch, strict=True)]
