"""Walks the graph of a deploy form, or a quantized form, and writes its .tflite file."""

import dataclasses

import keras
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from care_keras.deploy.pixels import fold_pixels, pixel_records, with_normalization
from care_keras.emit.integer_bias import integer_bias
from care_keras.emit.rules import find_rule
from care_keras.graph import unfold
from care_keras.primitives.base import Primitive
from care_keras.primitives.deploy_model import DeployModel
from care_keras.primitives.folding import array
from care_keras.quantization import FakeQuant, is_quantized
from care_keras.tflite_file.writer import Quantization, TensorHandle, Writer

_CODES = {8: np.dtype(np.int8), 16: np.dtype(np.int16)}


def emit_tflite(
    model: DeployModel,
    image_size: tuple[int, int],
    batch: int = 1,
    input_kind: str = "float",
    weights: str = "float32",
    all_tensors: bool = False,
    rounded: bool = True,
    output_type: str = "int8",
    target: str = "portable",
) -> bytes:
    """Writes a model of primitives as a .tflite file.

    A deploy form gives a float32 file, a quantized form one of integers only.

    Args:
        model: A deploy form or a quantized form.
        image_size: Height and width of the images in pixels, for inputs that
            leave them open.
        batch: Images per inference.
        input_kind: `"float"` for what the model itself takes, `"rgb_uint8"`
            for raw pixels where it takes images, prepared inside the file.
        weights: `"float32"` or `"float16"`: how a float32 file stores weights.
        all_tensors: Whether every tensor is an output of the file, by its
            layer's name, to compare layer by layer.
        rounded: If false, a quantized form is written as the float32 network
            that it rounds, to compare with.
        output_type: Of a quantized form: `"int8"`; `"uint8"`, the same codes
            and 128; or `"float"`, what they stand for. Classes are int32.
        target: Of a quantized form: `"portable"`, operators on codes alone; or
            `"xnnpack"`, functions that XNNPACK has in float only spelled out so
            that it makes tables of codes of them (`tflite_file.code_tables`).

    Returns:
        The content of the file.

    Raises:
        ValueError: If the model has an operation that is no primitive, or is a
            quantized form of normalized images and raw pixels are asked for.
    """
    if input_kind == "rgb_uint8":
        if not pixel_records(model):
            raise ValueError(
                "Raw pixels are for a model of RGB or grey images that says how they become its "
                "input: set `preprocessing`, of several inputs `input_preprocessing`. "
                "Received: input_kind='rgb_uint8'"
            )
        # A quantized form of pixels says so by its input's codes, which are looked at below.
        model = model if is_quantized(model) else with_normalization(model)
    emitter = Emitter(model, image_size, batch, input_kind, weights, rounded, output_type, target)
    return emitter.emit(all_tensors)


def input_names(model: DeployModel) -> list[str]:
    """Names that the inputs of a model have in its file's signature, in the model's order."""
    if len(model.inputs) == 1:
        return ["images"]
    return [tensor.name for tensor in model.inputs]


class Emitter:
    """One file in the making; the rules call its methods.

    Attributes:
        writer: The file's tensors and operators.
        target: `"portable"` or `"xnnpack"`.
        sources: By the index of a tensor, the layer that gave it and what that was given.
        reshaped: By the index of a tensor that a RESHAPE gives, what it was made of.
    """

    def __init__(
        self,
        model,
        image_size,
        batch,
        input_kind,
        weights,
        rounded,
        output_type="int8",
        target="portable",
    ):
        self.writer = Writer("care_keras")
        self.target = target
        self.sources: dict[int, tuple[keras.Operation, tuple]] = {}
        self.reshaped: dict[int, TensorHandle] = {}
        self._model = model
        self._shapes = [_fixed_shape(x, batch, image_size) for x in model.inputs]
        # Of inputs of raw pixels, by name and by the index of the tensor that the network reads.
        self._records = pixel_records(model) if input_kind == "rgb_uint8" else {}
        self._images = {}
        self._weights = weights
        self._outputs = {}
        self._rounded = rounded
        self._output_type = output_type
        self._fake_quants = self._find_fake_quants() if rounded else {}
        # Tensors in other precisions than they were computed in.
        self._converted = {}
        self._names = {}

    def _find_fake_quants(self):
        """The `FakeQuant` behind each layer, by the layer's name and its bits."""
        found = {}

        def follow(layer, source, *_, **__):
            if isinstance(layer, FakeQuant):
                # The first one is its own; others round it again for who reads it.
                found.setdefault((source, layer.bits), layer)
                return source
            return layer.name

        unfold(self._model).run(input_names(self._model), follow)
        return found

    def emit(self, all_tensors) -> bytes:
        tensors, fed = [], {}
        inputs = zip(self._model.inputs, input_names(self._model), self._shapes, strict=True)
        for image, name, shape in inputs:
            record = self._records.get(image.name)
            tensor, fed[name] = self._open_input(name, shape, record is not None)
            self._names[tensor.index] = name
            if record is not None:
                self._images[tensor.index] = record
            tensors.append(tensor)
        outputs = unfold(self._model).run(tensors, self._call)
        _check_batch(tensors, keras.tree.flatten(outputs))
        signature = self._outputs if all_tensors else self._signature(outputs)
        if not all_tensors:
            signature = {name: self._closed_output(name, x) for name, x in signature.items()}
        return self.writer.finish(fed, signature)

    def _signature(self, outputs):
        """The outputs by name: their own in a dict, else those of the layers they come from."""
        flat = keras.tree.flatten(outputs)
        if isinstance(outputs, dict) and all(isinstance(x, TensorHandle) for x in outputs.values()):
            return dict(outputs)
        if len(flat) == 1:
            return {"outputs": flat[0]}
        signature = {}
        for number, x in enumerate(flat):
            name = self._names[x.index]
            signature[name if name not in signature else f"{name}_{number}"] = x
        return signature

    def _open_input(self, name, shape, is_pixels):
        """What the network reads, and what is fed, which may be pixels."""
        quantization = self.quantization(name)
        dtype = np.float32 if quantization is None else np.int8
        if not is_pixels:
            fed = self.writer.tensor(name, shape, dtype, quantization)
            return fed, fed
        pixels_name = "pixels" if len(self._shapes) == 1 else f"{name}/pixels"
        if quantization is not None:
            if (quantization.scale, quantization.zero_point) != (1.0, -128):
                raise ValueError(
                    "The quantized form takes normalized images, not pixels: "
                    "quantize with raw_pixels=True. Received: input_kind='rgb_uint8'"
                )
            raw = Quantization(np.ones(1, np.float32), 0)
            fed = self.writer.tensor(name, shape, np.uint8, raw)
            codes = self.writer.tensor(pixels_name, shape, np.int8, quantization)
            return self._in_other_codes(pixels_name, fed, codes), fed
        fed = self.writer.tensor(name, shape, np.uint8)
        pixels = self.float_tensor(pixels_name, shape)
        options = schema.CastOptionsT()
        options.inDataType = schema.TensorType.UINT8
        options.outDataType = schema.TensorType.FLOAT32
        return self.writer.operator("CAST", 1, [fed], pixels, options), fed

    def _closed_output(self, name, x):
        """An output in the type that the file is to have it in."""
        if x.dtype != np.int8 or self._output_type == "int8":
            return x
        if self._output_type == "float":
            return self._dequantized(x)
        quantization = dataclasses.replace(
            x.quantization, zero_point=x.quantization.zero_point + 128
        )
        output = self.writer.tensor(f"{name}/uint8", x.shape, np.uint8, quantization)
        return self._in_other_codes(f"{name}/uint8", x, output)

    def _in_other_codes(self, name, x, output):
        """int8 codes as uint8 ones, or the other way round: XNNPACK has it in float only."""
        if self.target == "xnnpack":
            return self.spelled_out(name, x, output)
        return self.writer.operator("QUANTIZE", 1, [x], output, schema.QuantizeOptionsT())

    def spelled_out(self, name, x, output, function=None) -> TensorHandle:
        """A function of codes by way of float32: DEQUANTIZE, function, QUANTIZE.

        Args:
            name: What the tensors between are called by.
            x: 8-bit codes.
            output: 8-bit codes.
            function: From a float32 tensor to one; by default what it is given.
        """
        version = 2 if x.dtype == np.int8 else 1
        number = self.float_tensor(f"{name}/dequantized", x.shape)
        options = schema.DequantizeOptionsT()
        number = self.writer.operator("DEQUANTIZE", version, [x], number, options)
        if function is not None:
            number = function(number)
        options = schema.QuantizeOptionsT()
        return self.writer.operator("QUANTIZE", 1, [number], output, options)

    def _call(self, layer, *args, **_):
        if isinstance(layer, FakeQuant):
            return self._requantized(layer, args[0]) if self._rounded else args[0]
        if isinstance(layer, Primitive):
            layer.check_integers(x.dtype for x in keras.tree.flatten(args))
        if self._precision(layer) == "float32":
            args = keras.tree.map_structure(self._dequantized, args)
        write = find_rule(layer)
        if write is None:
            raise ValueError(
                "The operation is no primitive of the deploy form. "
                f"Received: {layer.name!r} of {type(layer).__name__}"
            )
        output = write(self, layer, *args)
        self._outputs[layer.name] = output
        self._names[output.index] = layer.name
        self.sources[output.index] = layer, args
        return output

    def _precision(self, layer):
        """`"float32"` where nothing is rounded."""
        if not self._fake_quants:
            return "float32"
        return self._model.precisions.get(layer.name, "int8")

    def _requantized(self, fake_quant, x):
        """A tensor in the codes of a `FakeQuant`: itself where it has them."""
        quantization = _quantization_of(fake_quant)
        dtype = _CODES[fake_quant.bits]
        key = x.index, dtype, quantization.scale, quantization.zero_point
        if x.quantization and key == (
            x.index,
            x.dtype,
            x.quantization.scale,
            x.quantization.zero_point,
        ):
            return x
        if key not in self._converted:
            source = self._names[x.index]
            output = self.writer.tensor(f"{source}/{dtype}", x.shape, dtype, quantization)
            self._names[output.index] = source
            self._outputs[f"{source}/{dtype}"] = output
            version = 2 if dtype == np.int16 else 1
            options = schema.QuantizeOptionsT()
            self._converted[key] = self.writer.operator("QUANTIZE", version, [x], output, options)
        return self._converted[key]

    def _dequantized(self, x):
        """A tensor as float32."""
        if x.dtype in (np.float32, np.int32):
            return x
        if x.index not in self._converted:
            output = self.float_tensor(f"{self._names[x.index]}/float32", x.shape)
            version = 3 if x.dtype == np.int16 else 2
            options = schema.DequantizeOptionsT()
            self._converted[x.index] = self.writer.operator(
                "DEQUANTIZE", version, [x], output, options
            )
        return self._converted[x.index]

    def float_tensor(self, name, shape) -> TensorHandle:
        """A float32 tensor that is computed."""
        return self.writer.tensor(name, shape, np.float32)

    def output(self, layer, inputs) -> TensorHandle:
        """The output tensor of a layer, float32 unless the model says how it is quantized.

        Args:
            layer: The layer.
            inputs: The handle, or handles, its shape follows from.
        """
        first = inputs[0] if isinstance(inputs, (list, tuple)) else inputs
        shape = layer.compute_output_shape(keras.tree.map_structure(lambda x: x.shape, inputs))
        precision = self._precision(layer)
        if first.dtype == np.int32:
            return self.writer.tensor(layer.name, shape, first.dtype)
        if precision == "float32":
            return self.float_tensor(layer.name, shape)
        if layer.keeps_values:
            return self.writer.tensor(layer.name, shape, first.dtype, first.quantization)
        bits = 16 if precision == "int16" else 8
        quantization = self.quantization(layer.name, bits)
        return self.writer.tensor(layer.name, shape, _CODES[bits], quantization)

    def quantization(self, name, bits=8) -> Quantization | None:
        """How the output of a layer, or the input of the model, is quantized."""
        fake_quant = self._fake_quants.get((name, bits))
        return fake_quant and _quantization_of(fake_quant)

    def like(self, name, x, shape) -> TensorHandle:
        """A new tensor of another shape that holds what `x` holds."""
        return self.writer.tensor(name, shape, x.dtype, x.quantization)

    def weight(self, name, values) -> TensorHandle:
        """A float constant, stored as the file stores weights."""
        values = np.asarray(keras.ops.convert_to_numpy(values), np.float32)
        if self._weights == "float32":
            return self.writer.constant(name, values)
        half = self.writer.constant(f"{name}/float16", values.astype(np.float16))
        output = self.float_tensor(name, values.shape)
        return self.writer.operator("DEQUANTIZE", 3, [half], output, schema.DequantizeOptionsT())

    def kernel_and_bias(
        self, layer, x, output, codes, steps, axis, bias
    ) -> tuple[TensorHandle, TensorHandle]:
        """An int8 kernel and an int32 bias, with a step for each channel or for all.

        Raises:
            ValueError: If the output's range is too narrow for it.
        """
        if layer.per_tensor:
            steps, axis = steps[:1], 0
        kernel = self.writer.constant(f"{layer.name}/kernel", codes, Quantization(steps, axis=axis))
        return kernel, integer_bias(self.writer, layer.name, bias, x, steps, output)

    def conv_weights(
        self, layer, x, output, to_tflite, axis, repeats=1
    ) -> tuple[TensorHandle, TensorHandle]:
        """Kernel and bias of a convolution.

        Args:
            layer: The layer.
            x: Its input.
            output: Its output: int8 weights for an int8 one.
            to_tflite: From a kernel in Keras's layout to the file's.
            axis: Axis of the channels after that.
            repeats: How often the layer's channels stand there one after the other.
        """
        if output.dtype != np.float32:
            codes, steps = layer.kernel_codes()
            steps = np.tile(steps, repeats)
            codes = to_tflite(codes)
            bias = np.tile(array(layer.bias), repeats)
            return self.kernel_and_bias(layer, x, output, codes, steps, axis, bias)
        kernel, bias = array(layer.kernel), array(layer.bias)
        if x.index in self._images:
            kernel, bias = fold_pixels(self._images[x.index], layer)
        return (
            self.weight(f"{layer.name}/kernel", to_tflite(kernel)),
            self.weight(f"{layer.name}/bias", np.tile(bias, repeats)),
        )


def _fixed_shape(tensor, batch, image_size):
    """The shape of an input in the file."""
    sizes = list(tensor.shape[1:])
    if len(sizes) == 3:
        given = zip(sizes[:2], image_size, strict=True)
        sizes[:2] = [wanted if size is None else size for size, wanted in given]
    if None in sizes:
        raise ValueError(
            "Only the height and width of images may be open. "
            f"Received: an input of shape {tuple(tensor.shape)}"
        )
    return (batch, *sizes)


def _check_batch(inputs, outputs):
    """A file's answers are told apart by the image that they are of."""
    for x in outputs:
        if x.shape[:1] != inputs[0].shape[:1]:
            raise ValueError(
                "An output has several rows of an image in the batch's axis: reshape it to one. "
                f"Received: an output of shape {tuple(x.shape)} for inputs of shape "
                f"{tuple(inputs[0].shape)}"
            )


def _quantization_of(fake_quant):
    scale, zero_point = fake_quant.parameters()
    return Quantization(np.asarray([scale], np.float32), zero_point)
