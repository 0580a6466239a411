"""What a training run depends on."""

import dataclasses
import pathlib

from care_keras.training.devices.distribution import Hosts
from care_keras.training.images.augmentation import Augmentation
from care_keras.training.images.input_pipeline import DEFAULT_CACHE_MEGABYTES


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """Everything a run depends on; the flags of `care_keras.train` name and explain the fields.

    The defaults are those of the recipe for small images (`recipe.PRESETS`).
    """

    model: str
    data: str
    run_dir: pathlib.Path
    train_split: str = "train"
    eval_split: str = "test"
    eval_every: int = 1
    epochs: int = 30
    batch_size: int = 128
    learning_rate: float = 2e-3
    base_batch_size: int = 0
    warmup_epochs: float = 1.0
    warmup_learning_rate: float = 0.0
    min_learning_rate: float = 0.0
    weight_decay: float = 0.05
    clipnorm: float = 0.0
    global_clipnorm: float = 0.0
    clipvalue: float = 0.0
    gradient_accumulation_steps: int = 1
    ema_momentum: float = 0.0
    dtype: str = "float32"
    label_smoothing: float = 0.1
    drop_path: float = 0.0
    low_resolution: int = 0
    low_resolution_epochs: int = 0
    crop: str = Augmentation.crop
    crop_scale: tuple[float, float] = Augmentation.crop_scale
    crop_ratio: tuple[float, float] = Augmentation.crop_ratio
    crop_interpolation: str = Augmentation.crop_interpolation
    flip: bool = Augmentation.flip
    rand_augment: float = Augmentation.rand_augment
    rand_augment_std: float = Augmentation.rand_augment_std
    rand_augment_ops: int = Augmentation.rand_augment_ops
    color_jitter: float = Augmentation.color_jitter
    random_erasing: float = Augmentation.random_erasing
    mixup: float = Augmentation.mixup
    cutmix: float = Augmentation.cutmix
    mix_switch: float = Augmentation.mix_switch
    start_from: str = ""
    teacher: str = ""
    teacher_size: str = ""
    teacher_mean: tuple[float, ...] = ()
    teacher_std: tuple[float, ...] = ()
    distillation_kind: str = "hard"
    distillation: float = 1.0
    distillation_temperature: float = 1.0
    qat: bool = False
    float_layers: tuple[str, ...] = ()
    int16_layers: tuple[str, ...] = ()
    seed: int = 0
    checkpoint_steps: int = 0
    tensorboard: bool = True
    distribute: str = "none"
    sync_batch_norm: bool = True
    coordinator_address: str = Hosts.coordinator_address
    num_processes: int = Hosts.num_processes
    process_id: int = Hosts.process_id
    cache_megabytes: int = DEFAULT_CACHE_MEGABYTES

    def to_dict(self) -> dict:
        """The flags of `care_keras.train` by name, with their values as JSON has them."""
        values = {key: _flag_value(value) for key, value in dataclasses.asdict(self).items()}
        # Python keeps the flag's name, `from`, to itself.
        values["from"] = values.pop("start_from")
        return values


def _flag_value(value):
    if isinstance(value, pathlib.Path):
        return str(value)
    if not isinstance(value, tuple):
        return value
    # Numbers are one flag, names are one flag each.
    numbers = value and all(isinstance(item, float) for item in value)
    return ",".join(map(repr, value)) if numbers else list(value)
