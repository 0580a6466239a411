"""Float files add means up, not sums: half precision holds them whatever the image's size."""

from collections import Counter

import numpy as np
import pytest

from care_keras.convert.conversion import default_rewrites
from care_keras.deploy import Rewrites, fuse
from care_keras.emit.network import emit_tflite
from care_keras.litert.model import LiteRTModel
from care_keras.litert.ranges import largest_floats
from care_keras.tflite_file import read_graph
from tests.care_keras.helpers import infer, numpy_of, random_images, tiny_classifier


@pytest.fixture(scope="module")
def classifier():
    return tiny_classifier()


def content(classifier, rewrites, size=(16, 24)):
    return emit_tflite(fuse(classifier, rewrites), size)


def test_float_files_have_them_and_int8_files_do_not():
    assert default_rewrites("float32").small_sums and default_rewrites("float16").small_sums
    assert not default_rewrites("int8").small_sums


def test_they_take_one_small_operator_more(classifier):
    small, plain = (
        Counter(operator.name for operator in read_graph(data).operators)
        for data in (
            content(classifier, Rewrites(small_sums=True)),
            content(classifier, Rewrites()),
        )
    )
    attentions = small["RSQRT"] - 1
    assert attentions > 0
    # Where 1 is added to keys.
    plain["ADD"] -= attentions
    plain["DEPTHWISE_CONV_2D"] += attentions
    # Of a number for each head and pixel.
    plain["MINIMUM"] += attentions
    # LayerNorm's row is divided where it was copied.
    plain["RESHAPE"] -= 1
    plain["MUL"] += 1
    assert small == plain


def test_the_file_computes_what_the_model_does(classifier):
    images = random_images(1)
    expected = numpy_of(infer(classifier, images))
    model = LiteRTModel(content(classifier, Rewrites(small_sums=True)))
    difference = np.abs(model.run(np.asarray(images, np.float32)) - expected)
    assert difference.max() < 1e-5 * np.abs(expected).max()


def largest_in_attention(classifier, rewrites, side):
    data = content(classifier, rewrites, (side, side))
    graph = read_graph(data)
    pixels = np.random.default_rng(0).normal(size=(1, 8, 8, 3)).astype(np.float32)
    image = np.tile(pixels, (1, side // 8, side // 8, 1))
    found = largest_floats(data, {graph.inputs[0].index: image[None]})
    names = {index: graph.tensors[index].name for index in found}
    sums = ("key_value_all", "key_value", "denominator_raw", "denominator")
    return max(value for index, value in found.items() if names[index].endswith(sums))


def test_they_do_not_grow_with_the_image(classifier):
    small = [largest_in_attention(classifier, Rewrites(small_sums=True), n) for n in (32, 128)]
    plain = [largest_in_attention(classifier, Rewrites(), n) for n in (32, 128)]
    assert small[1] < 2 * small[0]
    # 16 times the pixels.
    assert plain[1] > 8 * plain[0]
