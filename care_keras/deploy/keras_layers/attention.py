"""Attention of queries, keys and values."""

import keras
import numpy as np

from care_keras import primitives as p
from care_keras.deploy.lowering import Lowered, NoPrimitiveError, lowers
from care_keras.primitives.folding import array

_MASKS = ("query_mask", "value_mask", "key_mask", "attention_mask")


@lowers(keras.layers.MultiHeadAttention)
def lower_attention(build, layer, inputs, rewrites) -> Lowered:
    """Products of queries and keys, SOFTMAX, products with the values, head by head."""
    if isinstance(inputs, dict):
        query, value = inputs["query"], inputs["value"]
        key = inputs.get("key")
        key = value if key is None else key
        masked = any(inputs.get(name) is not None for name in _MASKS)
        if masked or inputs.get("use_causal_mask") or inputs.get("return_attention_scores"):
            raise NoPrimitiveError("it has a mask, or returns its scores")
    else:
        query, value, *rest = inputs
        key = rest[0] if rest and rest[0] is not None else value
        if len(rest) > 1:
            raise NoPrimitiveError("it has a mask")
    config = layer.get_config()
    if len(query.shape) != 3 or config.get("use_gate") or config.get("sliding_window"):
        raise NoPrimitiveError("its inputs are no sequences, or it has a gate or a window")
    name = layer.name
    # The scale of the scores is the query's.
    factor = 1.0 / np.sqrt(config["key_dim"])
    query = _heads(build, layer.query_dense, query, f"{name}_query", factor)
    key = _heads(build, layer.key_dense, key, f"{name}_key")
    value = _heads(build, layer.value_dense, value, f"{name}_value")
    scores = build.add(p.MatMul, [query, key], f"{name}_scores", transpose_b=True)
    shares = build.add(p.Softmax, scores, f"{name}_shares")
    x = build.add(p.MatMul, [shares, value], f"{name}_values")
    x = build.add(p.Permute, x, f"{name}_pixels", (2, 1, 3))
    kernel = array(layer.output_dense.kernel)
    width = kernel.shape[0] * kernel.shape[1]
    x = build.reshape(x, (x.shape[0], x.shape[1], width), f"{name}_joined")
    bias = layer.output_dense.bias
    bias = np.zeros(kernel.shape[2:]) if bias is None else array(bias)
    return build.dense(x, kernel.reshape(width, -1), bias.reshape(-1), name)


def _heads(build, dense, x, name, factor=1.0):
    """`(batch, heads, tokens, size)` of a projection."""
    kernel = array(dense.kernel) * factor
    _, heads, size = kernel.shape
    bias = np.zeros((heads, size)) if dense.bias is None else array(dense.bias) * factor
    x = build.dense(x, kernel.reshape(len(kernel), -1), bias.reshape(-1), f"{name}_projection")
    x = build.reshape(x, (*x.shape[:2], heads, size), f"{name}_split")
    return build.add(p.Permute, x, name, (2, 1, 3))
