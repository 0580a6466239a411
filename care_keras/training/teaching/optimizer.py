"""The optimizer of a run: AdamW, its learning rate, and what its weight decay leaves out."""

import keras

from care_keras.console.cli import UserError
from care_keras.training.config import TrainingConfig

# Where the warm-up starts, in parts of its end, if no rate is given.
_WARMUP_START = 0.01


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
    optimizer = keras.optimizers.AdamW(
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
    """Linear warm-up to the peak, then half a cosine down to the floor.

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
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=config.warmup_learning_rate or peak * _WARMUP_START,
        decay_steps=max(config.epochs * steps_per_epoch - warmup_steps, 1),
        alpha=config.min_learning_rate / peak if peak else 0.0,
        warmup_target=peak,
        warmup_steps=warmup_steps,
    )
