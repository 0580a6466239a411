"""Trains a CARE classifier: `python -m care_keras.train --model=nano --data=tfds:cifar10`.

AdamW with weight decay on kernels only, warm-up and cosine, random flip and
crop, label smoothing. A run folder holds the checkpoint, the log and the
result; the same command again goes on where the run was killed.
"""

import pathlib

from absl import flags

from care_keras import cli

_MODEL = flags.DEFINE_string("model", "nano", "Name of the config: s0, s1, s2, nano.")
_DATA = flags.DEFINE_string(
    "data", "tfds:cifar10", "tfds:NAME, a folder of class folders, bundled."
)
_TRAIN_SPLIT = flags.DEFINE_string("train_split", "train", "Split to train on.")
_EVAL_SPLIT = flags.DEFINE_string("eval_split", "test", "Split to evaluate on; never trained on.")
_EVAL_EVERY = flags.DEFINE_integer("eval_every", 1, "Epochs between evaluations.", lower_bound=1)
_RUN_DIR = flags.DEFINE_string("run_dir", "", "Folder of the run (default: runs/MODEL).")
_EPOCHS = flags.DEFINE_integer("epochs", 30, "Epochs in all.", lower_bound=1)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 128, "Images per step.", lower_bound=1)
_LEARNING_RATE = flags.DEFINE_float("learning_rate", 2e-3, "Peak learning rate.", lower_bound=0.0)
_WARMUP_EPOCHS = flags.DEFINE_float(
    "warmup_epochs", 1.0, "Epochs of linear warm-up.", lower_bound=0
)
_WEIGHT_DECAY = flags.DEFINE_float(
    "weight_decay", 0.05, "Decoupled decay of conv and dense kernels.", lower_bound=0.0
)
_LABEL_SMOOTHING = flags.DEFINE_float(
    "label_smoothing", 0.1, "Label smoothing.", lower_bound=0.0, upper_bound=0.99
)
_DROP_PATH = flags.DEFINE_float(
    "drop_path", 0.0, "Stochastic depth at the last block.", lower_bound=0.0, upper_bound=0.99
)
_LOW_RESOLUTION = flags.DEFINE_integer(
    "low_resolution", 0, "Size of random crops in the first epochs, where steps are cheaper."
)
_LOW_RESOLUTION_EPOCHS = flags.DEFINE_integer(
    "low_resolution_epochs", 0, "How many epochs train on crops of --low_resolution."
)
_FROM = flags.DEFINE_string("from", "", "A .keras file whose weights the run starts from.")
_QAT = flags.DEFINE_bool("qat", False, "Train the quantized form of --from, for int8.")
_DISTILLATION = flags.DEFINE_float(
    "distillation",
    1.0,
    "With --qat: weight of the float model's outputs, against that of the labels.",
    lower_bound=0.0,
    upper_bound=1.0,
)
_FLOAT_LAYERS = flags.DEFINE_multi_string(
    "float_layers",
    [],
    "With --qat: layers, by a shell pattern of their names, that stay in float32.",
)
_INT16_LAYERS = flags.DEFINE_multi_string(
    "int16_layers", [], "Likewise, layers that get 16-bit activations."
)
_CHECKPOINT_STEPS = flags.DEFINE_integer(
    "checkpoint_steps",
    0,
    "Steps between checkpoints within an epoch; 0: only after each epoch.",
    lower_bound=0,
)
_TENSORBOARD = flags.DEFINE_bool("tensorboard", True, "Write a log for TensorBoard.")
_DISTRIBUTE = flags.DEFINE_enum(
    "distribute",
    "none",
    ["none", "auto", "data_parallel", "mirrored", "multi_worker"],
    "Devices to train on: one; all there are; by JAX (data_parallel); by TensorFlow, of this "
    "process (mirrored) or of all workers in TF_CONFIG (multi_worker).",
)
_SYNC_BATCH_NORM = flags.DEFINE_bool(
    "sync_batch_norm",
    True,
    "With --distribute under TensorFlow: statistics of BatchNorm over the whole batch, not over "
    "each device's share. Under JAX they always are.",
)
_COORDINATOR_ADDRESS = flags.DEFINE_string(
    "coordinator_address",
    "",
    "With --distribute=data_parallel on several hosts: HOST:PORT of process 0.",
)
_NUM_PROCESSES = flags.DEFINE_integer(
    "num_processes", 0, "Likewise, the number of processes.", lower_bound=0
)
_PROCESS_ID = flags.DEFINE_integer(
    "process_id", -1, "Likewise, the number of this process, from 0.", lower_bound=-1
)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of weights, order and augmentation.")


def main() -> None:
    """The command."""
    from care_keras.training.config import TrainingConfig
    from care_keras.training.trainer import train

    train(
        TrainingConfig(
            model=_MODEL.value,
            data=_DATA.value,
            train_split=_TRAIN_SPLIT.value,
            eval_split=_EVAL_SPLIT.value,
            eval_every=_EVAL_EVERY.value,
            run_dir=pathlib.Path(_RUN_DIR.value or f"runs/{_MODEL.value}"),
            epochs=_EPOCHS.value,
            batch_size=_BATCH_SIZE.value,
            learning_rate=_LEARNING_RATE.value,
            warmup_epochs=_WARMUP_EPOCHS.value,
            weight_decay=_WEIGHT_DECAY.value,
            label_smoothing=_LABEL_SMOOTHING.value,
            drop_path=_DROP_PATH.value,
            low_resolution=_LOW_RESOLUTION.value,
            low_resolution_epochs=_LOW_RESOLUTION_EPOCHS.value,
            start_from=_FROM.value,
            qat=_QAT.value,
            distillation=_DISTILLATION.value,
            float_layers=tuple(_FLOAT_LAYERS.value),
            int16_layers=tuple(_INT16_LAYERS.value),
            seed=_SEED.value,
            checkpoint_steps=_CHECKPOINT_STEPS.value,
            tensorboard=_TENSORBOARD.value,
            distribute=_DISTRIBUTE.value,
            sync_batch_norm=_SYNC_BATCH_NORM.value,
            coordinator_address=_COORDINATOR_ADDRESS.value,
            num_processes=_NUM_PROCESSES.value,
            process_id=_PROCESS_ID.value,
        )
    )


if __name__ == "__main__":
    cli.run(main)
