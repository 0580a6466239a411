import os

import pytest

from care_keras.training.trainer import train
from tests.care_keras.training.runs import settings

# How often each of the 24 images is seen in the one epoch.
_REPEATS = 75


@pytest.fixture
def repeated(images, tmp_path):
    """The training images many times, and once to evaluate on."""
    for path in (images / "train").glob("*/*.png"):
        for split, count in (("train", _REPEATS), ("test", 1)):
            folder = tmp_path / "images" / split / path.parent.name
            folder.mkdir(parents=True, exist_ok=True)
            for i in range(count):
                os.symlink(path, folder / f"{i}_{path.name}")
    return tmp_path / "images"


@pytest.mark.every_backend
@pytest.mark.usefixtures("tiny_config")
def test_one_epoch_learns_a_few_images_by_heart(repeated, tmp_path):
    result = train(
        settings(
            repeated,
            tmp_path / "run",
            epochs=1,
            batch_size=12,
            learning_rate=0.02,
            warmup_epochs=0.1,
            label_smoothing=0.0,
            drop_path=0.0,
            crop="none",
            low_resolution_epochs=0,
            eval_every=1,
            seed=0,
        )
    )
    assert result["images"] == 24
    assert result["top1"] > 0.95
