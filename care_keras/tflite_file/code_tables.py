"""Functions of one 8-bit code that a file spells out in float: DEQUANTIZE, functions, QUANTIZE.

XNNPACK computes such a chain as one table of 256 codes
(`xnn_subgraph_fuse_unary_quantized_into_lut` in its src/subgraph.c, since 2025-05),
so that nothing is computed in float there.
"""

import dataclasses

from care_keras.tflite_file.records import Operator, Subgraph

_CODES = ("int8", "uint8")
# What `convert --target=xnnpack` spells out, as XNNPACK has it in float alone. Of what it has of
# codes as well, ELU among them, such a chain is what a converter has left in float.
_FUNCTIONS = {"EXP", "GELU", "HARD_SWISH", "LOG", "RSQRT"}


@dataclasses.dataclass(frozen=True)
class CodeTable:
    """A chain from codes to codes.

    Attributes:
        operators: Its operators in order, DEQUANTIZE first and QUANTIZE last.
    """

    operators: tuple[Operator, ...]

    @property
    def functions(self) -> tuple[str, ...]:
        """Names of what is between the two."""
        return tuple(operator.name for operator in self.operators[1:-1])


def code_tables(subgraph: Subgraph) -> list[CodeTable]:
    """The chains of a graph that XNNPACK computes as tables of codes.

    What is computed between DEQUANTIZE and QUANTIZE is read by the next operator
    alone.
    """
    found = []
    for operator in subgraph.operators:
        if operator.name == "QUANTIZE" and _types(subgraph, operator.outputs) <= set(_CODES):
            chain = _chain_to(subgraph, operator)
            if chain:
                found.append(CodeTable(tuple(chain)))
    return found


def _chain_to(subgraph, last):
    """The chain that ends at a QUANTIZE, or nothing."""
    chain = [last]
    while True:
        inputs = chain[0].inputs
        if len(inputs) != 1 or inputs[0] in subgraph.outputs:
            return None
        source = subgraph.producers.get(inputs[0])
        if source is None or len(subgraph.consumers[inputs[0]]) != 1:
            return None
        chain.insert(0, source)
        if source.name == "DEQUANTIZE":
            of_codes = _types(subgraph, source.inputs) <= set(_CODES)
            constant = any(subgraph.tensors[index].is_constant for index in source.inputs)
            return chain if of_codes and not constant else None
        if source.name not in _FUNCTIONS or _types(subgraph, source.outputs) != {"float32"}:
            return None


def _types(subgraph, indices):
    return {subgraph.tensors[index].dtype for index in indices if index >= 0}
