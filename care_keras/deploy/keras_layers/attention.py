"""Attention of queries, keys and values."""

import keras
import numpy as np

from care_keras import primitives as p
from care_keras.deploy.keras_layers.kernels import float_kernel
from care_keras.deploy.lowering import Lowered, NoPrimitiveError, lowers, shape_of
from care_keras.primitives.folding import array


@lowers(keras.layers.MultiHeadAttention, takes_affine=True, takes_keywords=True)
def lower_attention(build, layer, inputs, rewrites) -> Lowered:
    """Products of queries and keys, SOFTMAX, products with the values, head by head."""
    if not isinstance(inputs, dict):
        inputs = dict(zip(("query", "value", "key", "query_mask"), inputs, strict=False))
    query, value = inputs.pop("query"), inputs.pop("value")
    key = inputs.pop("key", None)
    key = value if key is None else key
    if inputs:
        raise NoPrimitiveError(f"it is called with {', '.join(inputs)}")
    config = layer.get_config()
    for name in ("use_gate", "sliding_window", "attention_axes"):
        if config.get(name) not in (None, False, (1,), [1]):
            raise NoPrimitiveError(f"{name}={config[name]}")
    if len(shape_of(query)) != 3 or len(shape_of(value)) != 3:
        raise NoPrimitiveError("its inputs are no sequences")
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
    kernel = float_kernel(layer.output_dense)
    width = kernel.shape[0] * kernel.shape[1]
    x = build.reshape(x, (x.shape[0], x.shape[1], width), f"{name}_joined")
    bias = layer.output_dense.bias
    bias = np.zeros(kernel.shape[2:]) if bias is None else array(bias)
    sizes = kernel.shape[2:]
    product = name if len(sizes) == 1 else f"{name}_flat"
    x = build.dense(x, kernel.reshape(width, -1), bias.reshape(-1), product)
    return x if len(sizes) == 1 else build.reshape(x, (*x.shape[:2], *sizes), name)


def _heads(build, dense, x, name, factor=1.0):
    """`(batch, heads, tokens, size)` of a projection."""
    kernel = float_kernel(dense) * factor
    _, heads, size = kernel.shape
    bias = np.zeros((heads, size)) if dense.bias is None else array(dense.bias) * factor
    x = build.dense(x, kernel.reshape(len(kernel), -1), bias.reshape(-1), f"{name}_projection")
    x = build.reshape(x, (*x.shape[:2], heads, size), f"{name}_split")
    return build.add(p.Permute, x, name, (2, 1, 3))
