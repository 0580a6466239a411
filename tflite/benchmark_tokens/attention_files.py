"""Attention alone as .tflite files: CARE's, and softmax attention of the same width."""

import pathlib

import keras
import numpy as np

from care_keras.convert.conversion import default_rewrites
from care_keras.deploy.builder import Builder
from care_keras.deploy.care_layers import lower_attention
from care_keras.emit.network import emit_tflite
from care_keras.layers import LinearAttention
from care_keras.primitives.deploy_model import DeployModel
from care_keras.tflite_file.reader import read_graph
from tflite.audit.cost import operator_cost
from tflite.benchmark_tokens.shape import AttentionShape
from tflite.benchmark_tokens.softmax_attention import SoftmaxAttention, lower_softmax_attention


def random_layers(shape: AttentionShape, seed: int) -> dict[str, keras.layers.Layer]:
    """A layer of each of `KINDS`, with the same random weights.

    Queries and keys are of unit scale, as BatchNorm keeps them in a network.
    """
    layers = {
        "linear": LinearAttention(shape.head_dim),
        "softmax": SoftmaxAttention(shape.head_dim),
    }
    generator = np.random.default_rng(seed)
    channels = shape.channels
    kernel = generator.normal(size=(1, 1, channels, 2 * channels)) / np.sqrt(channels)
    weights = [kernel.astype(np.float32), generator.normal(size=2 * channels).astype(np.float32)]
    for layer in layers.values():
        layer.build((None, None, None, channels))
        layer.set_weights(weights)
    return layers


def attention_file(layer: keras.layers.Layer, height: int, width: int) -> bytes:
    """A float32 .tflite file of a layer on a map of `height` x `width` tokens.

    Both kinds are written from their primitives by `care_keras.emit`, neither
    by TensorFlow's converter: they differ in what they compute alone.
    """
    channels = layer.query_key.kernel.shape[-2]
    x = keras.Input((height, width, channels), name="images")
    build = Builder()
    if isinstance(layer, LinearAttention):
        outputs = lower_attention(build, layer, x, "attention", default_rewrites("float32"))
    else:
        outputs = lower_softmax_attention(build, layer, x, "attention")
    return emit_tflite(DeployModel(x, outputs), (height, width))


def write_files(
    shape: AttentionShape, side: int, folder: pathlib.Path, seed: int
) -> dict[str, pathlib.Path]:
    """A file of each of `KINDS` for images of `side` x `side` pixels."""
    tokens = side // shape.stride
    paths = {}
    for kind, layer in random_layers(shape, seed).items():
        paths[kind] = folder / f"{kind}_{side}.tflite"
        paths[kind].write_bytes(attention_file(layer, tokens, tokens))
    return paths


def file_macs(path: pathlib.Path) -> int:
    """Multiply-accumulates of a file's convolutions and products, as `tflite.audit` counts."""
    graph = read_graph(path).main
    return sum(operator_cost(graph, operator).macs for operator in graph.operators)
