"""Which module makes a run's task, by `--task`."""

import importlib
from types import ModuleType

from care_keras.training.config import TrainingConfig

_MODULES = {
    "classification": "task",
    "segmentation": "segmentation_task",
    "detection": "detection_task",
}


def task_maker(config: TrainingConfig) -> ModuleType:
    """The module of a task: its `open_sources`, `float_task` and `quantized_task`."""
    return importlib.import_module(f"care_keras.training.{_MODULES[config.task]}")
