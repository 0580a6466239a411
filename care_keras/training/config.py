"""What a training run depends on."""

import dataclasses
import pathlib


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """Everything a run depends on; the flags of `care_keras.train` name the fields."""

    model: str
    data: str
    run_dir: pathlib.Path
    train_split: str = "train"
    eval_split: str = "test"
    eval_every: int = 1
    epochs: int = 30
    batch_size: int = 128
    learning_rate: float = 2e-3
    warmup_epochs: float = 1.0
    weight_decay: float = 0.05
    label_smoothing: float = 0.1
    drop_path: float = 0.0
    low_resolution: int = 0
    low_resolution_epochs: int = 0
    start_from: str = ""
    qat: bool = False
    distillation: float = 1.0
    float_layers: tuple[str, ...] = ()
    int16_layers: tuple[str, ...] = ()
    seed: int = 0

    def to_dict(self) -> dict:
        """The flags of `care_keras.train` by name, with their values."""
        values = dataclasses.asdict(self) | {"run_dir": str(self.run_dir)}
        # As JSON gives them back.
        values = {key: list(x) if isinstance(x, tuple) else x for key, x in values.items()}
        # Python keeps the flag's name, `from`, to itself.
        values["from"] = values.pop("start_from")
        return values
