"""Walks the operators of a file and builds the model."""

import collections
import os
import pathlib

import keras
import numpy as np

from care_keras.deploy.builder import Builder

# They register what writes operators on primitives.
from care_keras.deploy.lift import (  # noqa: F401
    arithmetic,
    convolutions,
    functions,
    matrices,
    movement,
    padding,
    windows,
)
from care_keras.deploy.lift.folding import FOLDS, fold
from care_keras.deploy.lift.names import Names, keras_name
from care_keras.deploy.lift.registry import LIFTS, Call
from care_keras.deploy.lift.values import Value
from care_keras.deploy.lowering import NoPrimitiveError
from care_keras.primitives import Permute
from care_keras.primitives.deploy_model import DeployModel
from care_keras.tflite_file import read_graph

_FLOATS = ("float32", "float16", "bfloat16")
# What moves places as it moves numbers, and the types that a file has for them.
_MOVES = ("CAST", "EXPAND_DIMS", "RESHAPE", "SLICE", "SQUEEZE", "STRIDED_SLICE", "TRANSPOSE")
_PLACES = ("int32", "int64")
# Bytes of weights for each byte of the file, as tensors may be shared, and for any file.
_BYTES_PER_BYTE, _FREE_BYTES = 16, 1 << 26
# Letters of a tensor's name, and of what Keras or NumPy say, in a message.
_LONGEST_NAME, _LONGEST_REASON = 80, 160


class Network:
    """The model of a file in the making.

    Args:
        model: Path of the file, or its content.

    Raises:
        ValueError: If it is no valid TFLite model.
    """

    def __init__(self, model: str | os.PathLike | bytes):
        self._graph = read_graph(model)
        self._main = self._graph.main
        in_memory = isinstance(model, (bytes, bytearray, memoryview))
        self._name = keras_name("network" if in_memory else pathlib.Path(model).stem)
        self._build = Builder()
        self._names = Names()
        self._left = _FREE_BYTES + _BYTES_PER_BYTE * self._graph.size_bytes
        # By the index of a tensor: what is computed, and what is constant.
        self._values: dict[int, Value] = {}
        self._constants: dict[int, np.ndarray] = {}
        # What was refused, with the names of tensors.
        self._refused = collections.defaultdict(list)
        self._reads = collections.Counter(self._main.outputs)
        for operator in self._main.operators:
            self._reads.update(operator.inputs)
        self._open_batch = any(t.shape_signature[:1] == (-1,) for t in self._graph.inputs)

    def deploy_model(self) -> DeployModel:
        """The model.

        Raises:
            ValueError: If something has no primitives; all of it is named.
        """
        signature = next((s for s in self._graph.signatures if s.subgraph == 0), None)
        inputs = self._inputs(signature)
        for extra in self._graph.subgraphs[1:]:
            self._refused["a graph beside the first"].append(extra.name)
        for operator in self._main.operators:
            self._operator(operator)
        outputs = self._outputs(signature, inputs)
        if not self._graph.inputs or not self._main.outputs:
            self._refused["no input, or no output"].append(self._main.name)
        if self._refused:
            found = ", ".join(
                f"{_begun(what)} ({len(names)}, {_shortened(names[0])!r})"
                for what, names in self._refused.items()
            )
            raise ValueError(
                f"The file has what cannot be written on primitives: {found}. "
                f"Received: model={self._graph.source!r}"
            )
        return DeployModel(inputs[0] if len(inputs) == 1 else inputs, outputs, name=self._name)

    def _inputs(self, signature):
        given = {} if signature is None else {i: n for n, i in signature.inputs.items()}
        inputs = []
        for tensor in self._graph.inputs:
            sizes = tensor.shape_signature
            if sizes[:1] not in ((-1,), (1,)):
                self._refused["an input without a batch of 1 in front"].append(tensor.name)
                continue
            if min(sizes) < -1:
                self._refused["an input of negative sizes"].append(tensor.name)
                continue
            if tensor.dtype not in _FLOATS and not self._is_cast(tensor):
                self._refused[f"an input of {tensor.dtype}"].append(tensor.name)
                continue
            name = self._names.unique(given.get(tensor.index, tensor.name))
            shape = [None if size == -1 else size for size in sizes[1:]]
            x = keras.Input(shape, dtype="float32", name=self._build.name(name))
            self._store(tensor.index, Value(x, 0))
            inputs.append(x)
        return inputs

    def _is_cast(self, tensor):
        """Whether all that is done with it is a conversion to numbers of the same value."""
        readers = self._main.consumers.get(tensor.index, ())
        plain = not tensor.scales and all(reader.name == "CAST" for reader in readers)
        return plain and tensor.index not in self._main.outputs

    def _operator(self, operator):
        known = operator.label in LIFTS or operator.name in FOLDS or operator.name == "SHAPE"
        label, outputs = operator.label, self._main.output_tensors(operator)
        example = outputs[0].name if outputs else ""
        try:
            for tensor in (*self._main.input_tensors(operator), *outputs):
                if tensor.scales and tensor.dtype not in _FLOATS:
                    raise NoPrimitiveError(f"of {tensor.dtype}")
                if tensor.is_variable:
                    raise NoPrimitiveError("of a state")
            if not known or not outputs:
                self._refused[label].append(example)
                return
            inputs = [None if i < 0 else self._read(i) for i in operator.inputs]
            if any(x is None and i >= 0 for x, i in zip(inputs, operator.inputs, strict=True)):
                return  # What gives it was refused.
            results = self._results(operator, inputs, outputs)
            found = dict(zip(operator.outputs, results, strict=True))
        except NoPrimitiveError as error:
            self._refused[f"{label} {error}"].append(example)
        # A file may say anything of its operators, and Keras has no error of its own for it.
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            reason = str(error).partition("\n")[0][:_LONGEST_REASON]
            self._refused[f"{label} whose inputs do not fit ({reason})"].append(example)
        else:
            for index, result in found.items():
                self._store(index, result)

    def _store(self, index, result):
        if not isinstance(result, Value):
            self._constants[index] = result
            return
        self._values[index] = result
        if self._reads[index] != 1:
            self._build.shared.add(id(result.tensor))

    def _results(self, operator, inputs, outputs):
        """What an operator gives: a value or a constant for each output."""
        if operator.name == "SHAPE" and inputs[0] is not None:
            return [np.array(inputs[0].shape, object)]
        if not any(isinstance(x, Value) for x in inputs):
            if operator.name not in FOLDS:
                raise NoPrimitiveError("of constants")
            return fold(operator, [x for x in inputs if x is not None], self._charge)
        if operator.label not in LIFTS:
            raise NoPrimitiveError("of what is computed")
        of_places = any(isinstance(x, Value) and x.is_places for x in inputs)
        if of_places and operator.name not in _MOVES:
            raise NoPrimitiveError("of places, as ARG_MAX gives them")
        given = _PLACES if of_places or operator.name == "ARG_MAX" else _FLOATS
        for tensor in outputs:
            if tensor.dtype not in given:
                raise NoPrimitiveError(f"of {tensor.dtype}")
        call = Call(
            self._build,
            operator,
            self._names.unique(outputs[0].name),
            tuple(inputs),
            self._readers(outputs[0].index),
            self._open_batch,
            self._charge,
        )
        results = LIFTS[operator.label](call)
        return results if isinstance(results, list) else [results]

    def _readers(self, index):
        """The operators that read a tensor; `None` if the model returns it."""
        returned = index in self._main.outputs
        return None if returned else self._main.consumers.get(index, ())

    def _read(self, index) -> Value | np.ndarray | None:
        """A tensor's value or constant; `None` of one that was refused."""
        if index in self._values:
            return self._values[index]
        if index not in self._constants and self._main.tensors[index].is_constant:
            tensor = self._main.tensors[index]
            if tensor.is_sparse:
                # Two arrays: the numbers, and a place for each that is stored.
                self._charge(tensor.size_bytes + 8 * tensor.elements)
            self._constants[index] = tensor.data
        return self._constants.get(index)

    def _charge(self, size):
        self._left -= size
        if self._left < 0:
            raise NoPrimitiveError("of more weights than a file of this size has")

    def _outputs(self, signature, sources):
        """One tensor, or several by name."""
        if signature is None or not signature.outputs:
            names = Names()
            indices = {names.unique(self._main.tensors[i].name): i for i in self._main.outputs}
        else:
            indices = signature.outputs
        outputs = {}
        for name, index in indices.items():
            value = self._values.get(index)
            if value is not None:
                x = self._build.tensor(value.tensor)
                if any(x is source for source in sources):
                    # Keras wants an operation, and this one leaves all axes where they are.
                    order, own = range(1, len(x.shape)), self._names.unique(f"{name}_output")
                    x = self._build.add(Permute, x, own, order)
                outputs[name] = x
            elif index in self._constants or self._main.tensors[index].is_constant:
                self._refused["an output that is constant"].append(name)
            elif not self._refused:
                self._refused["an output that nothing computes"].append(name)
        return next(iter(outputs.values())) if len(outputs) == 1 else outputs


def _begun(reason):
    """The beginning of a reason, which says what it is about; files may bring long ones."""
    return reason if len(reason) <= _LONGEST_REASON else f"{reason[:_LONGEST_REASON]}..."


def _shortened(name):
    """The end of a name, which tells it from others."""
    return name if len(name) <= _LONGEST_NAME else f"...{name[-_LONGEST_NAME:]}"
