"""Checkpoints as the authors have them, and a small model of which some are published."""

import io
import pathlib
from collections.abc import Mapping

import numpy as np
import pytest

from care_keras.models import CONFIGS, CAREConfig
from care_keras.models.presets import PRESETS, Preset
from care_keras.weights.published import Published

TINY = Published("care_tiny_imagenet", "tiny", "CARETrans_T.pth.tar", 0.5)


def saved(state_dict: Mapping[str, np.ndarray]) -> bytes:
    """What `torch.save` writes of a state dict."""
    torch = pytest.importorskip("torch", reason="PyTorch not installed")
    stream = io.BytesIO()
    torch.save({name: torch.tensor(array) for name, array in state_dict.items()}, stream)
    return stream.getvalue()


def fetch_from(patch: pytest.MonkeyPatch, url: str, folder: pathlib.Path) -> None:
    """Has published weights fetched from `url`, and Keras's cache in `folder`."""
    patch.setenv("KERAS_HOME", str(folder))
    patch.setenv("CARE_KERAS_WEIGHTS_URL", url)


def name_tiny(patch: pytest.MonkeyPatch, config: CAREConfig) -> None:
    """Has weights of a config published as those of `TINY`."""
    patch.setitem(CONFIGS, TINY.arch, config)
    patch.setitem(PRESETS, TINY.name, Preset(TINY.name, images=None, published=TINY))
