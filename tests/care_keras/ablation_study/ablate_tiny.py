"""`care_keras.ablate`, whose runs are of a tiny model: `... ablate_tiny IMAGES --model=tiny ...`.

IMAGES is a folder of photos, made if there is none. With `--as_trainer` first it is the trainer.
"""

import pathlib
import sys

from care_keras import ablate, train
from care_keras.ablation_study import runs
from care_keras.console import cli
from care_keras.models import ABLATIONS, CONFIGS
from care_keras.models.config import BASE_CONFIGS
from tests.care_keras.helpers import TINY
from tests.care_keras.training.runs import write_images

CONFIGS["tiny"] = BASE_CONFIGS["tiny"] = TINY
CONFIGS["tiny_no_memory"] = ABLATIONS["no_memory"].apply(TINY, "no_memory")


def run_all(*args, **kwargs):
    """Has this file train, which knows the tiny model."""
    trainer = [sys.executable, "-m", "tests.care_keras.ablation_study.ablate_tiny", "--as_trainer"]
    return _RUN_ALL(*args, **kwargs, trainer=trainer)


_RUN_ALL, runs.run_all = runs.run_all, run_all

if __name__ == "__main__":
    first = sys.argv.pop(1)
    if first == "--as_trainer":
        cli.run(train.main)
    if not pathlib.Path(first).exists():
        write_images(pathlib.Path(first))
    cli.run(ablate.main)
