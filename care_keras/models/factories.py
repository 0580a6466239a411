"""`CARE_S0(...)` and its siblings, in the manner of `keras.applications`."""

import contextlib
import os

import keras

from care_keras.models import config as configs
from care_keras.models.build import build_network
from care_keras.models.care_backbone import CAREBackbone
from care_keras.models.care_classifier import CAREClassifier
from care_keras.models.keras_file import check_weights_file, load_keras_file
from care_keras.models.presets import PRESETS, load_preset


def build_model(
    config: configs.CAREConfig,
    include_top: bool = True,
    weights: str | None = None,
    input_shape: tuple | None = None,
    pooling: str | None = None,
    classes: int | None = None,
    classifier_activation="softmax",
    drop_path_rate: float = 0.0,
    name: str | None = None,
    dtype=None,
    labels: tuple[str, ...] | None = None,
) -> keras.Model:
    """Builds the model that a config describes; `CARE_S0` and the others call it.

    See `CARE_S0` for the arguments, the result and the errors; `labels` names
    the classes.
    """
    preset = None if weights is None else _preset(config, os.fspath(weights))
    if preset and preset.published and include_top and classes not in (None, config.classes):
        # Before anything is downloaded.
        raise ValueError(
            f"If using `weights={weights!r}` with `include_top=True`, `classes` should be "
            f"{config.classes}. Received: classes={classes}"
        )
    model, backbone = build_network(
        config,
        include_top,
        input_shape,
        pooling,
        classes,
        classifier_activation,
        drop_path_rate,
        name,
        dtype,
        labels,
    )
    if weights is not None:
        _load_weights(model, backbone, config, os.fspath(weights), preset)
    return model


def _preset(config, weights):
    """The preset that `weights` names of a config, `None` of a file."""
    presets = {
        name.removeprefix(f"{config.name}_"): preset
        for name, preset in PRESETS.items()
        if name.startswith(f"{config.name}_") and not preset.quantized
    }
    if weights not in presets and not os.path.isfile(weights):
        names = f", or one of {list(presets)}" if presets else ": there are none by name"
        raise ValueError(
            f"`weights` must be None or a file{names} for {config.name}. "
            f"Received: weights={weights!r}"
        )
    return presets.get(weights)


def _load_weights(model, backbone, config, weights, preset):
    """Copies weights from a preset, or from a `.keras` or `.weights.h5` file, into `model`."""
    if preset is None and weights.endswith(".h5"):
        with _mismatch_named(weights, config):
            check_weights_file(weights)
            model.load_weights(weights)
        return
    source = load_preset(preset.name) if preset else load_keras_file(weights)
    source_backbone = source if isinstance(source, CAREBackbone) else _backbone_of(source)
    if source_backbone is None:
        raise ValueError(f"The file holds no CARE model. Received: weights={weights!r}")
    if not isinstance(model, CAREClassifier):
        with _mismatch_named(weights, config):
            backbone.set_weights(source_backbone.get_weights())
        return
    if not isinstance(source, CAREClassifier) or source.classes != model.classes:
        raise ValueError(
            "The weights are of another class count, or of a backbone alone: pass `classes` to "
            "match, or `include_top=False`. "
            f"Received: classes={model.classes}, weights={weights!r}"
        )
    with _mismatch_named(weights, config):
        model.set_weights(source.get_weights())
    # Weights know how their images are prepared and what their classes are called.
    model.preprocessing = source.preprocessing or model.preprocessing
    model.labels = model.labels or source.labels


def _backbone_of(source):
    backbone = getattr(source, "backbone", None)
    return backbone if isinstance(backbone, CAREBackbone) else None


@contextlib.contextmanager
def _mismatch_named(weights, config):
    """Says which file does not fit, where Keras only says that shapes differ."""
    try:
        yield
    # h5py's own errors of damaged files are OSErrors and KeyErrors.
    except (ValueError, OSError, KeyError) as error:
        raise ValueError(
            f"The weights do not fit {config.name}: they are of another architecture, or the "
            f"file is damaged. Received: weights={weights!r}"
        ) from error


_DOCSTRING = """{summary}

    Args:
        include_top: Whether to put the classifier heads on the backbone.
        weights: `None` for random weights, a `.keras` file of this
            architecture (see `python -m care_keras.weights`), a `.weights.h5`
            file of this very model, or the name of weights: of S0, S1 and S2
            `"imagenet"`, which the authors published, downloaded at first use
            and kept in Keras's cache; of Nano those that come with the package.
        input_shape: `(height, width, 3)`; `None`, the default, leaves height
            and width open.
        pooling: Without top: `None` returns the `CAREBackbone` and so 4D
            features and `pyramid_outputs`; `"avg"` or `"max"` pools them.
        classes: Number of classes; by default that of the published weights.
        classifier_activation: Activation of the top; `None` returns logits.
        drop_path_rate: Rate of stochastic depth at the last block.
        name: Name of the model.
        dtype: Dtype policy, `"mixed_float16"` for instance.

    Returns:
        A `CAREClassifier`; without top a `CAREBackbone` or a pooled
        `keras.Model`.

    Raises:
        ValueError: If an argument is out of its range, the weights do not fit,
            or cannot be downloaded.
        MissingDependencyError: If what reads downloaded weights is not installed.
    """


def _factory(config: configs.CAREConfig, function_name: str, summary: str):
    """The function that users call for one config."""

    def factory(
        include_top: bool = True,
        weights: str | None = None,
        input_shape: tuple | None = None,
        pooling: str | None = None,
        classes: int | None = None,
        classifier_activation="softmax",
        drop_path_rate: float = 0.0,
        name: str | None = None,
        dtype=None,
    ) -> keras.Model:
        return build_model(
            config,
            include_top,
            weights,
            input_shape,
            pooling,
            classes,
            classifier_activation,
            drop_path_rate,
            name,
            dtype,
        )

    factory.__name__ = factory.__qualname__ = function_name
    factory.__doc__ = _DOCSTRING.format(summary=summary)
    return factory


CARE_S0 = _factory(
    configs.CARE_S0,
    "CARE_S0",
    "CARE-S0: 7.34 M parameters, 0.72 GMACs at 224x224, published top-1 78.4 %.",
)
CARE_S1 = _factory(
    configs.CARE_S1,
    "CARE_S1",
    "CARE-S1: 9.60 M parameters, 1.03 GMACs at 224x224, published top-1 80.1 %.",
)
CARE_S2 = _factory(
    configs.CARE_S2,
    "CARE_S2",
    "CARE-S2: 19.48 M parameters, 1.92 GMACs at 224x224, published top-1 82.1 %.",
)
CARE_Nano = _factory(
    configs.CARE_NANO,
    "CARE_Nano",
    'CARE-Nano for 32x32 images; `weights="cifar10"` loads the bundled ones.',
)
CARE_XS = _factory(
    configs.CARE_XS,
    "CARE_XS",
    "CARE-XS: a backbone for segmentation and detection of small images, trained from scratch.",
)
