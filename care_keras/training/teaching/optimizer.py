"""The optimizer of a run: AdamW, its learning rate, and what its weight decay leaves out."""

import keras

from care_keras.console.cli import UserError
from care_keras.training.config import TrainingConfig
from care_keras.training.teaching.adamw import AdamW

# Where the warm-up starts, in parts of its end, if no rate is given.
_WARMUP_START = 0.01
# Of the schedules: the power of "poly", and after which shares of the epochs "step" drops.
_POWER = 0.9
_DROPS = (8 / 12, 11 / 12)


def create_optimizer(
    config: TrainingConfig, model: keras.Model, steps_per_epoch: int
) -> keras.optimizers.Optimizer:
    """AdamW as the flags of a run describe it.

    Weight decay takes convolution and dense kernels alone. Averages of the
    weights (`use_ema`) move with `config.ema_momentum` for each update of the
    weights, also where gradients of several steps are accumulated for one.

    Args:
        config: The run's settings.
        model: What it will train.
        steps_per_epoch: Steps of one epoch.

    Raises:
        UserError: If settings contradict one another.
    """
    clipping = {
        name: value
        for name in ("clipnorm", "global_clipnorm", "clipvalue")
        if (value := getattr(config, name))
    }
    if len(clipping) > 1:
        raise UserError(f"give one of --{' and --'.join(clipping)}, not both")
    accumulated = config.gradient_accumulation_steps
    optimizer = AdamW(
        learning_rate_schedule(config, steps_per_epoch),
        weight_decay=config.weight_decay,
        use_ema=config.ema_momentum > 0.0,
        # Keras moves the averages at every step, changed weights or not.
        ema_momentum=config.ema_momentum ** (1.0 / accumulated),
        gradient_accumulation_steps=accumulated if accumulated > 1 else None,
        **clipping,
    )
    left_out = [variable for variable in model.trainable_variables if not is_kernel(variable)]
    optimizer.exclude_from_weight_decay(var_list=left_out)
    return optimizer


def is_kernel(variable: keras.Variable) -> bool:
    """Whether it is the kernel of a convolution or a dense layer (not a scale per channel)."""
    return variable.name.endswith("kernel") and len(variable.shape) > 1


def peak_learning_rate(config: TrainingConfig) -> float:
    """`config.learning_rate`, scaled by the images per update if there is a base batch size."""
    if not config.base_batch_size:
        return config.learning_rate
    images_per_update = config.batch_size * config.gradient_accumulation_steps
    return config.learning_rate * images_per_update / config.base_batch_size


def learning_rate_schedule(
    config: TrainingConfig, steps_per_epoch: int
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Linear warm-up to the peak, then down to the floor as `config.schedule` says.

    Only the peak is scaled by the batch size, not the two ends.

    Raises:
        UserError: If the floor is above the peak, or the warm-up longer than
            the training.
    """
    peak = peak_learning_rate(config)
    if config.min_learning_rate > peak:
        raise UserError(
            f"--min_learning_rate={config.min_learning_rate:g} is above the peak of the learning "
            f"rate, {peak:g}"
        )
    if config.warmup_epochs > config.epochs:
        raise UserError(
            f"--warmup_epochs={config.warmup_epochs:g} is more than --epochs={config.epochs}"
        )
    warmup_steps = round(config.warmup_epochs * steps_per_epoch)
    steps = max(config.epochs * steps_per_epoch - warmup_steps, 1)
    start = config.warmup_learning_rate or peak * _WARMUP_START
    if config.schedule == "cosine":
        return keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=start,
            decay_steps=steps,
            alpha=config.min_learning_rate / peak if peak else 0.0,
            warmup_target=peak,
            warmup_steps=warmup_steps,
        )
    if config.schedule == "poly":
        after = keras.optimizers.schedules.PolynomialDecay(
            peak, steps, config.min_learning_rate, power=_POWER
        )
    else:
        boundaries = [round(share * config.epochs * steps_per_epoch) for share in _DROPS]
        after = keras.optimizers.schedules.PiecewiseConstantDecay(
            [max(boundary - warmup_steps, 0) for boundary in boundaries],
            [max(peak * 0.1**drops, config.min_learning_rate) for drops in range(3)],
        )
    return _WarmedUp(start, peak, warmup_steps, after)


class _WarmedUp(keras.optimizers.schedules.LearningRateSchedule):
    """A linear rise, then another schedule from its beginning."""

    def __init__(self, start, peak, steps, after):
        self._start, self._peak, self._steps, self._after = start, peak, steps, after

    def __call__(self, step):
        step = keras.ops.cast(step, "float32")
        if not self._steps:
            return self._after(step)
        rise = self._start + (self._peak - self._start) * step / self._steps
        return keras.ops.where(
            step < self._steps, rise, self._after(keras.ops.maximum(step - self._steps, 0.0))
        )

    def get_config(self):
        return {"start": self._start, "peak": self._peak, "steps": self._steps}
