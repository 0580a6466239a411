"""What a training run depends on."""

import dataclasses
import functools
import pathlib

from care_keras.console.flag_values import parse_channels, parse_counts
from care_keras.console.options import option, to_flags
from care_keras.console.own_modules import import_option
from care_keras.data.record import FITS, INTERPOLATIONS
from care_keras.training.devices.hosts import DISTRIBUTIONS, Hosts
from care_keras.training.images.engine import INPUT_PIPELINES
from care_keras.training.images.joint import DenseAugmentation

# Tasks, each with the preset that it has where none is named.
TASK_PRESETS = {
    "classification": "cifar10",
    "segmentation": "segmentation",
    "detection": "detection",
}
HEADS = ("lite", "paper")
SCHEDULES = ("cosine", "poly", "step")
DISTILLATION_KINDS = ("hard", "soft")


def _parse_levels(flag, values):
    return tuple(parse_counts(flag, values))


@dataclasses.dataclass(frozen=True)
class TrainingConfig(DenseAugmentation):
    """Everything a run depends on, how its images are augmented included.

    The defaults are those of the recipe for small images (`recipe.PRESETS`).
    """

    # What is trained, and on what.
    model: str = option("Name of the config: s0, s1, s2, nano, xs, or of an ablation.")
    data: str = option(
        "tfds:NAME; classification: a folder of class folders, or bundled; segmentation: a folder "
        "of images/ and labels/; detection: a folder with COCO's JSON."
    )
    run_dir: pathlib.Path = option("Folder of the run (default: runs/MODEL).")
    task: str = option("What the network is for.", "classification", choices=tuple(TASK_PRESETS))
    train_split: str = option("Split to train on.", "train")
    eval_split: str = option("Split to evaluate on; never trained on.", "test")
    start_from: str = option("A .keras file whose weights the run starts from.", "", flag="from")
    imports: tuple[str, ...] = import_option()
    seed: int = option("Seed of weights, order and augmentation.", 0, low=0, high=2**32 - 1)
    epochs: int = option("Epochs in all, with those of the warm-up.", 30, low=1)
    batch_size: int = option("Images per step, of all devices together.", 128, low=1)
    eval_every: int = option(
        "Epochs between evaluations; the last one always ends with one.", 1, low=1
    )

    # Segmentation and detection.
    head: str = option("The network on the backbone.", "lite", choices=HEADS)
    levels: tuple[int, ...] = option(
        "Detection: levels of the pyramid, 3 for a stride of 8 pixels (default: the backbone's "
        "three coarsest).",
        (),
        parse=_parse_levels,
    )
    first_class: int = option(
        "Segmentation: value of the first class in label images; smaller ones are no class.",
        0,
        low=0,
        high=254,
    )
    class_balance: bool = option(
        "Segmentation: rare classes count for more, each 1 / ln(1.02 + its share of the pixels), "
        "as ENet was trained (arXiv 1606.02147).",
        False,
    )

    # Optimizer: AdamW.
    learning_rate: float = option("Peak learning rate.", 2e-3, low=0.0)
    schedule: str = option(
        "How the rate falls after the warm-up: as half a cosine, by a power of 0.9, or to a tenth "
        "after two thirds and again after eleven twelfths of the epochs.",
        "cosine",
        choices=SCHEDULES,
    )
    base_batch_size: int = option(
        "The images per update that --learning_rate is for: it is scaled linearly to those of "
        "--batch_size and --gradient_accumulation_steps. 0: not scaled.",
        0,
        low=0,
    )
    warmup_epochs: float = option("Epochs of linear warm-up.", 1.0, low=0.0)
    warmup_learning_rate: float = option(
        "Rate that the warm-up starts at; 0: 1/100 of its end.", 0.0, low=0.0
    )
    min_learning_rate: float = option("Rate that the cosine ends at.", 0.0, low=0.0)
    weight_decay: float = option("Decoupled decay of conv and dense kernels.", 0.05, low=0.0)
    clipnorm: float = option("Largest norm of each gradient; 0: any.", 0.0, low=0.0)
    global_clipnorm: float = option("Largest norm of all gradients together; 0: any.", 0.0, low=0.0)
    clipvalue: float = option("Largest absolute value in a gradient; 0: any.", 0.0, low=0.0)
    gradient_accumulation_steps: int = option(
        "Steps whose gradients are averaged for one update.", 1, low=1
    )
    ema_momentum: float = option(
        "Momentum of moving averages of the weights, which are then evaluated and saved; 0: none.",
        0.0,
        low=0.0,
        high=0.999999,
    )
    dtype: str = option(
        "Precision of the computation.",
        "float32",
        choices=("float32", "mixed_bfloat16", "mixed_float16"),
    )

    # Regularization; what is done to images is `Augmentation`'s.
    label_smoothing: float = option("Label smoothing.", 0.1, low=0.0, high=0.99)
    drop_path: float = option("Stochastic depth at the last block.", 0.0, low=0.0, high=0.99)
    low_resolution: int = option(
        "Size of the images in the first epochs, where steps are cheaper.", 0, low=0
    )
    low_resolution_epochs: int = option(
        "How many epochs train on images of --low_resolution.", 0, low=0
    )

    # Distillation.
    teacher: str = option("A .keras file that teaches the distillation head.", "")
    teacher_size: str = option(
        "N or HxW: size of the teacher's images, if its file does not say.", ""
    )
    teacher_mean: tuple[float, ...] = option(
        "R,G,B in units of full scale: likewise.", (), parse=parse_channels
    )
    teacher_std: tuple[float, ...] = option(
        "R,G,B: likewise.", (), parse=functools.partial(parse_channels, positive=True)
    )
    distillation_kind: str = option(
        "Learn the teacher's best class or its distribution.", "hard", choices=DISTILLATION_KINDS
    )
    distillation: float = option(
        "Weight of the teacher against that of the labels (default: 0.5; with --qat, where the "
        "float model is the teacher, 1).",
        1.0,
        low=0.0,
        high=1.0,
    )
    distillation_temperature: float = option("Of soft distillation.", 1.0, low=0.001)

    # Quantization-aware training.
    qat: bool = option(
        "Train the quantized form of --from, any classifier in a .keras or .tflite file, for int8.",
        False,
    )
    size: str = option(
        "N or HxW: segmentation and detection: size of the images (default: the config's); with "
        "--qat, of a classifier that takes any size.",
        "",
    )
    mean: tuple[float, ...] = option(
        "With --qat: R,G,B, or one value of grey images, in units of full scale, of a model that "
        "does not say it.",
        (),
        parse=parse_channels,
    )
    std: tuple[float, ...] = option(
        "With --qat: likewise, the standard deviation.",
        (),
        parse=functools.partial(parse_channels, positive=True),
    )
    fit: str = option(
        "With --qat: how images become the input of a model that does not say it: all of each, "
        "resized (stretch), or the centre (crop); auto: stretch, as Keras's own loaders do.",
        "auto",
        choices=("auto", *FITS),
    )
    interpolation: str = option(
        "With --qat: how the images of such a model are resized; auto: bilinear.",
        "auto",
        choices=("auto", *INTERPOLATIONS),
    )
    float_layers: tuple[str, ...] = option(
        "With --qat: layers, by a shell pattern of their names, that stay in float32.", ()
    )
    int16_layers: tuple[str, ...] = option("Likewise, layers that get 16-bit activations.", ())

    # How it is run.
    checkpoint_steps: int = option(
        "Steps between checkpoints within an epoch; 0: none within.", 0, low=0
    )
    tensorboard: bool = option("Write a log for TensorBoard.", True)
    distribute: str = option(
        "Devices to train on: one; all there are; by JAX (data_parallel); by TensorFlow, of this "
        "process (mirrored) or of all workers in TF_CONFIG (multi_worker).",
        "none",
        choices=DISTRIBUTIONS,
    )
    sync_batch_norm: bool = option(
        "With --distribute under TensorFlow: statistics of BatchNorm over the whole batch, not "
        "over each device's share. Under JAX they always are.",
        True,
    )
    coordinator_address: str = option(
        "With --distribute=data_parallel on several hosts: HOST:PORT of process 0.",
        Hosts.coordinator_address,
    )
    num_processes: int = option("Likewise, the number of processes.", Hosts.num_processes, low=0)
    process_id: int = option(
        "Likewise, the number of this process, from 0.", Hosts.process_id, low=-1
    )
    cache_megabytes: int = option(
        "Decoded images are kept in memory if all fit in this.", 2048, low=0
    )
    input_pipeline: str = option(
        "What reads and augments the images: tf.data; numpy, which needs no TensorFlow; auto: "
        "tf.data where TensorFlow is installed. Each draws random numbers of its own.",
        "auto",
        choices=INPUT_PIPELINES,
    )

    def to_dict(self) -> dict:
        """The flags of `care_keras.train` by name, with their values as JSON has them."""
        return to_flags(self)

    def to_arguments(self) -> list[str]:
        """The command line that they are: `["--model=nano", ...]`."""
        return [
            f"--{name}={value}"
            for name, values in self.to_dict().items()
            for value in (values if isinstance(values, list) else [values])
        ]
