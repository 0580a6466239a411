"""Models of every kind that Keras saves: the check lets each through, and it is the same again."""

import io
import json
import warnings
import zipfile

import h5py
import keras
import numpy as np
import pytest
from keras import layers, ops

from care_keras.deploy import fuse
from care_keras.loading import load_any
from care_keras.models.keras_file import check_keras_file
from care_keras.models.presets import BUNDLED
from care_keras.quantization import is_quantized
from tests.care_keras.helpers import TINY, numpy_of, tiny_backbone, tiny_classifier
from tests.care_keras.quantization.samples import quantized_form


@keras.saving.register_keras_serializable(package="tests")
class Registered(layers.Layer):
    """A layer of the caller's own."""

    def call(self, inputs):
        return inputs + 1.0


@keras.saving.register_keras_serializable(package="tests")
def registered_function(x):
    return x * 2.0


class Unregistered(Registered):
    """A layer that Keras would look for by its module's name."""


def functional(function, shape=(8, 8, 3), **kwargs):
    inputs = keras.Input(shape, **kwargs)
    return keras.Model(inputs, function(inputs))


def sequential():
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Rescaling(1 / 127.5, offset=-1.0),
            layers.Conv2D(
                4,
                3,
                kernel_initializer=keras.initializers.HeNormal(seed=1),
                bias_initializer=keras.initializers.Constant(0.5),
                kernel_regularizer=keras.regularizers.L1L2(1e-4, 1e-4),
                kernel_constraint=keras.constraints.MaxNorm(2.0),
            ),
            layers.BatchNormalization(),
            layers.Activation(keras.activations.relu6),
            layers.SeparableConv2D(4, 3, depthwise_initializer="he_uniform"),
            layers.LeakyReLU(0.1),
            layers.PReLU(),
            layers.SpatialDropout2D(0.1, seed=3),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2, activation="softmax"),
        ]
    )


def activations():
    names = [
        name
        for name, x in vars(keras.activations).items()
        if callable(x) and name not in ("deserialize", "get", "serialize")
    ]

    def build(x):
        outputs = [layers.Activation(getattr(keras.activations, name))(x) for name in names]
        # These are kept as functions, by their module, and not by their name alone.
        outputs.append(layers.Activation(ops.silu)(x))
        outputs.append(layers.Dense(4, activation=ops.tanh)(x))
        outputs.append(layers.Activation(registered_function)(x))
        outputs.append(keras.activations.relu(x, negative_slope=0.1, max_value=4.0))
        return outputs

    return functional(build, (4,))


def with_operations():
    table = np.linspace(0, 1, 12, dtype="float32").reshape(1, 4, 3)

    def build(x):
        x = ops.image.resize(x / 255.0 - 0.5, (4, 4), interpolation="bilinear")
        tokens = ops.reshape(x, (-1, 16, 3))[:, ::2, ...]
        tokens = ops.concatenate([tokens[:, :4] + table, tokens[:, 4:]], axis=1)
        scores = ops.softmax(ops.matmul(tokens, ops.transpose(tokens, (0, 2, 1))) / 2.0)
        y = ops.einsum("bij,bjc->bic", scores, tokens)
        y = ops.where(y > 0.1, ops.maximum(y, 0.2), ops.nn.gelu(y))
        y = ops.split(y, 2, axis=1)[0] * ops.sigmoid(ops.mean(y, axis=1, keepdims=True))
        return ops.stop_gradient(ops.cast(ops.expand_dims(y, 1), "float32"))

    return functional(build)


def nested():
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(4, "relu"), Registered()])
    inner.compile(
        keras.optimizers.AdamW(keras.optimizers.schedules.CosineDecay(0.1, 10), clipnorm=1.0),
        loss=keras.losses.Huber(),
        metrics=[keras.metrics.MeanAbsoluteError(), keras.losses.mean_squared_error],
    )
    shared = layers.Dense(4)

    def build(x):
        y = shared(inner(shared(x)))
        middle = keras.Input((4,), name="a")
        outputs = {"b": layers.Dense(2)(middle), "c": ops.abs(middle)}
        part = keras.Model({"a": middle}, outputs, name="part")
        return part({"a": y})

    return functional(build, (4,))


def compiled():
    model = functional(lambda x: layers.Dense(1)(layers.Flatten()(x)), (2, 2))
    model.compile("adam", loss="mse", metrics=["mae", keras.metrics.RootMeanSquaredError()])
    model.fit(np.ones((2, 2, 2)), np.ones((2, 1)), verbose=0)
    return model


def attention():
    def build(x):
        x = layers.Embedding(10, 8)(x)
        x = layers.LayerNormalization()(x)
        y = layers.MultiHeadAttention(2, 4)(x, x, use_causal_mask=True)
        y = layers.GroupQueryAttention(4, 2, 1)(y, x)
        y = layers.Attention()([x, y])
        y = layers.EinsumDense("abc,cd->abd", output_shape=(None, 8), bias_axes="d")(x + y)
        return layers.UnitNormalization()(layers.RMSNormalization()(y))

    return functional(build, (6,), dtype="int32")


def recurrent():
    def build(x):
        x = layers.Masking()(x)
        x = layers.TimeDistributed(layers.Dense(3))(x)
        x = layers.Bidirectional(layers.LSTM(3, return_sequences=True))(x)
        x = layers.Bidirectional(
            layers.GRU(2, return_sequences=True),
            backward_layer=layers.GRU(2, return_sequences=True, go_backwards=True),
        )(x)
        cells = [layers.LSTMCell(2), layers.SimpleRNNCell(3)]
        return layers.RNN(cells)(x), layers.GRU(2)(x)

    return functional(build, (4, 5))


def preprocessing():
    def build(x):
        y = layers.Normalization(mean=[1.0, 2.0], variance=[1.0, 4.0])(x)
        z = layers.Discretization(bin_boundaries=[0.0, 1.0, 2.0])(x)
        return y, layers.CategoryEncoding(4, output_mode="multi_hot")(z)

    return functional(build, (2,))


def lookup():
    def build(x):
        return layers.IntegerLookup(vocabulary=[12, 36, 1138])(x)

    return functional(build, (1,), dtype="int64")


def augmentation():
    def build(x):
        for layer in (
            layers.RandomFlip("horizontal", seed=1),
            layers.RandomRotation(0.1),
            layers.RandomZoom(0.1),
            layers.RandomTranslation(0.1, 0.1),
            layers.RandomContrast(0.1),
            layers.RandomBrightness(0.1),
            layers.RandomCrop(6, 6),
            layers.CenterCrop(6, 6),
            layers.Resizing(8, 8),
            layers.GaussianNoise(0.1, seed=2),
            layers.Dropout(0.1, seed=3),
        ):
            x = layer(x)
        # Not inside the pipeline: to trace it there takes PyTorch a minute.
        x = layers.RandAugment()(x)
        return layers.Pipeline([layers.RandomErasing(), layers.Rescaling(0.5)])(x)

    return functional(build)


def initializers():
    seed = keras.random.SeedGenerator(5)
    model = keras.Sequential([keras.Input((4,))])
    for initializer in (
        keras.initializers.GlorotUniform(seed=seed),
        keras.initializers.VarianceScaling(2.0, "fan_out"),
        keras.initializers.Orthogonal(),
        keras.initializers.Identity(),
        keras.initializers.TruncatedNormal(stddev=0.1),
        keras.initializers.Constant(np.eye(4).tolist()),
    ):
        model.add(
            layers.Dense(
                4,
                kernel_initializer=initializer,
                bias_regularizer=keras.regularizers.OrthogonalRegularizer(),
                bias_constraint=keras.constraints.MinMaxNorm(),
                use_bias=False,
            )
        )
    return model


def of_dtype(dtype):
    return lambda: functional(
        lambda x: layers.Dense(2, dtype=dtype)(layers.Conv2D(2, 3, dtype=dtype)(x))
    )


def with_policy_map():
    policies = keras.dtype_policies.DTypePolicyMap("float32")
    policies["mha/query"] = keras.dtype_policies.DTypePolicy("mixed_bfloat16")
    return functional(lambda x: layers.MultiHeadAttention(2, 2, dtype=policies)(x, x), (4, 4))


def quantized(mode):
    def build():
        model = functional(lambda x: layers.Dense(4, "relu")(layers.Dense(4)(x)), (8,))
        model.quantize(mode)
        return model

    return build


def subclass_with_labels():
    return tiny_classifier(preprocessing=TINY.preprocessing, labels=("a", "b", "ç"))


def with_a_care_backbone():
    backbone = tiny_backbone(image_shape=(16, 24, 3))
    outputs = layers.Dense(2)(layers.GlobalMaxPooling2D()(backbone.output))
    return keras.Model(backbone.inputs, outputs)


def application(name, **kwargs):
    return lambda: getattr(keras.applications, name)(
        weights=None, input_shape=(32, 32, 3), classes=3, **kwargs
    )


MODELS = {
    "sequential": sequential,
    "activations": activations,
    "operations": with_operations,
    "nested": nested,
    "compiled": compiled,
    "attention": attention,
    "recurrent": recurrent,
    "preprocessing": preprocessing,
    "lookup": lookup,
    "augmentation": augmentation,
    "initializers": initializers,
    "mixed_float16": of_dtype("mixed_float16"),
    "bfloat16": of_dtype("bfloat16"),
    "policy map": with_policy_map,
    "int8": quantized("int8"),
    "int4": quantized("int4"),
    "float8": quantized("float8"),
    "MobileNetV2": application("MobileNetV2", alpha=0.35),
    "EfficientNetB0": application("EfficientNetB0"),
    "CARE classifier": subclass_with_labels,
    "CARE backbone": tiny_backbone,
    "CARE backbone in a model": with_a_care_backbone,
    "CARE deploy form": lambda: fuse(tiny_classifier()),
    "CARE quantized form": quantized_form,
}


def save(model, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of layers whose weights are not there yet
        model.save(path)


def weights_of(model):
    """In one order: Keras names and orders those of some layers anew."""
    return sorted((tuple(x.shape), numpy_of(x).tobytes()) for x in model.weights)


@pytest.mark.every_backend
@pytest.mark.parametrize("case", MODELS)
def test_loads_and_is_the_same(tmp_path, case):
    model = MODELS[case]()
    path = tmp_path / "model.keras"
    save(model, path)
    loaded = load_any(str(path))
    assert type(loaded) is type(model) and loaded.name == model.name
    assert weights_of(loaded) == weights_of(model)
    names = [layer.name for layer in loaded.layers]
    assert names == [layer.name for layer in model.layers]
    assert getattr(loaded, "labels", None) == getattr(model, "labels", None)
    assert is_quantized(loaded) == is_quantized(model)


@pytest.mark.parametrize("name", BUNDLED)
def test_the_bundled_models_pass(name):
    check_keras_file(BUNDLED[name].file)


def test_a_large_model_passes_and_its_config_is_far_from_the_bound(tmp_path):
    """ConvNeXt, whose two layers have no public name; its weights are left out here."""
    model = keras.applications.ConvNeXtTiny(weights=None, input_shape=(32, 32, 3))
    path = tmp_path / "model.keras"
    small = functional(layers.Dense(1), (1,))
    small.save(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["config.json"] = json.dumps(keras.saving.serialize_keras_object(model)).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    check_keras_file(path)
    assert len(members["config.json"]) < 2**20


def test_a_layer_that_nobody_has_registered(tmp_path):
    path = tmp_path / "model.keras"
    save(functional(Unregistered(), (2,)), path)
    with pytest.raises(ValueError) as error:
        load_any(str(path))
    text = str(error.value)
    assert f"{__name__}.Unregistered' which is neither" in text.replace(",", "")
    assert "; --import=MODULE names your module" in text and text.endswith(
        f"Received: {str(path)!r}"
    )


def test_packed_anew(tmp_path):
    """As an archiver leaves it that someone has looked into the file with."""
    path = tmp_path / "model.keras"
    save(sequential(), path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    assert load_any(str(path)).count_params() == sequential().count_params()


@keras.saving.register_keras_serializable(package="tests")
class Nested(keras.Model):
    """A subclassed model whose layers lie in lists of tuples."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.blocks = [(layers.Dense(2),), (layers.Dense(2),)]

    def call(self, inputs):
        for (dense,) in self.blocks:
            inputs = dense(inputs)
        return inputs


def test_layers_that_the_file_has_no_weights_of(tmp_path):
    """An older Keras left them out; a newer one warns, and goes on with weights of chance."""
    model, path = Nested(), tmp_path / "model.keras"
    values = np.ones((1, 3), np.float32)
    model(values)
    save(model, path)
    assert np.array_equal(*(numpy_of(one(values)) for one in (model, load_any(str(path)))))
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    content = io.BytesIO(members["model.weights.h5"])
    with h5py.File(content, "r+") as file:
        del file["blocks/container"]
        del file["blocks/container_1"]
    members["model.weights.h5"] = content.getvalue()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(ValueError, match="Keras cannot load the model: ") as error:
        load_any(str(path))
    assert "\n" not in str(error.value)
