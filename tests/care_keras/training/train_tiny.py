"""A tiny run in a process of its own: `python -m tests.care_keras.training.train_tiny JSON`.

Keys of the JSON: `settings` (of the run), `devices` (that TensorFlow simulates),
`eager` (whether TensorFlow traces no graph), and where the process kills itself:
`kill_after` (epoch and number of steps) or `kill_in_write` (number of the checkpoint).
"""

import json
import os
import pathlib
import signal
import sys

import keras
import numpy as np

from care_keras.console.cli import UserError
from care_keras.models import CONFIGS
from care_keras.training import trainer
from tests.care_keras.training import runs


def main(arguments: dict) -> None:
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        devices = [tf.config.LogicalDeviceConfiguration()] * arguments.get("devices", 1)
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, devices)
        # Asking for it starts TensorFlow, which workers may not have done.
        if arguments.get("eager"):
            tf.config.run_functions_eagerly(True)
    CONFIGS["tiny"] = runs.TINY_RUN
    CONFIGS["tiniest"] = runs.TINIEST_RUN
    CONFIGS["two_blocks"] = runs.TWO_BLOCKS_RUN
    if "kill_after" in arguments:
        KillingProgress.place = tuple(arguments["kill_after"])
        trainer.Progress = KillingProgress
    if "kill_in_write" in arguments:
        kill_in_write(arguments["kill_in_write"])
    settings = arguments["settings"]
    paths = {name: pathlib.Path(settings.pop(name)) for name in ("images", "run_dir")}
    try:
        trainer.train(runs.settings(**paths, **settings))
    except UserError as error:
        sys.exit(f"error: {error}")


class KillingProgress(trainer.Progress):
    """Ends the process without warning."""

    def on_train_batch_end(self, batch, logs=None):
        if (self._epoch, batch + 1) == self.place:
            os.kill(os.getpid(), signal.SIGKILL)


def kill_in_write(number):
    """Ends the process when half of a checkpoint is written."""
    savez = np.savez
    writes = []

    def half(stream, **arrays):
        writes.append(stream.name)
        savez(stream, **arrays)
        if len(writes) == number:
            stream.flush()
            os.truncate(stream.name, os.path.getsize(stream.name) // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    np.savez = half


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
