"""One training run: build, restore, train, evaluate, write the result."""

import shutil

import keras

from care_keras.console import progress
from care_keras.console.cli import UserError
from care_keras.console.own_modules import import_modules
from care_keras.training.config import TrainingConfig
from care_keras.training.devices.create import create_distribution
from care_keras.training.devices.distribution import Distribution, example_batch
from care_keras.training.devices.grappler import set_up_grappler
from care_keras.training.devices.hosts import Hosts
from care_keras.training.recipe import model_config
from care_keras.training.result import finish, save_trained
from care_keras.training.run.checkpoint import Position
from care_keras.training.run.checkpointing import BestModel, Checkpointing
from care_keras.training.run.epoch_log import EpochLog
from care_keras.training.run.folder import RunFolder
from care_keras.training.run.loop import run_epochs
from care_keras.training.run.loss_watch import LossWatch
from care_keras.training.run.progress import Progress
from care_keras.training.run.seeding import EpochSeeds
from care_keras.training.run.tensorboard import tensorboard_callbacks
from care_keras.training.task import Task, check_model_files, fitted
from care_keras.training.task_maker import task_maker
from care_keras.training.teaching.optimizer import create_optimizer
from care_keras.training.teaching.weight_averages import (
    STATISTICS_STEPS,
    WeightAverages,
    keep_weights_after_fit,
)
from care_keras.training.throughput import images_per_second


def train(config: TrainingConfig) -> dict:
    """Runs, or goes on with, a training run.

    Writes into `config.run_dir` what `RunFolder` lists. Killed at any moment,
    it goes on from the newest checkpoint and ends as an unbroken run does.

    Returns:
        What `result.json` holds.

    Raises:
        UserError: If the flags, the data, the devices or the folder cannot be
            used, or the loss stops being a number.
    """
    # First: engines must know all devices before they compute anything.
    distribution = create_distribution(
        config.distribute,
        Hosts(config.coordinator_address, config.num_processes, config.process_id),
        config.sync_batch_norm,
    )
    with distribution.active():
        return _train(config, distribution)


def _train(config, distribution):
    model_config(config)
    if not config.qat and (config.float_layers or config.int16_layers):
        raise UserError("--float_layers and --int16_layers go with --qat")
    import_modules(config.imports)
    say = progress.say if distribution.is_chief else _silent
    maker = task_maker(config)
    sources = maker.open_sources(config)
    asked, config = config, fitted(config, sources[0])
    distribution.check_batch_size(config.batch_size)
    if config.input_pipeline == "numpy" and distribution.name in ("mirrored", "multi_worker"):
        raise UserError(
            f"--distribute={distribution.name} divides what tf.data makes: leave "
            "--input_pipeline=numpy out"
        )
    check_model_files(config)
    folder = RunFolder(config.run_dir, distribution.is_chief)
    folder.prepare(asked.to_dict())

    set_up_grappler(quantized=config.qat)
    say(f"{keras.backend.backend()} backend; {distribution}; training on {sources[0].name}")
    try:
        keras.utils.set_random_seed(config.seed)
        with distribution.scope():
            make_task = maker.quantized_task if config.qat else maker.float_task
            task = make_task(config, *sources, distribution)
            _compile(task, config)
    except BaseException:
        folder.forget()
        raise
    keep_weights_after_fit(task.model.optimizer)
    with task.reading_errors(), folder.writing():
        return _run(config, task, folder, distribution, say)


def _compile(task, config):
    task.model.compile(
        optimizer=create_optimizer(config, task.model, task.training.steps_per_epoch),
        loss=task.loss,
        # Weighted: what fills up an evaluation's last batches has weight 0.
        weighted_metrics=list(task.metrics),
        # XLA's depthwise gradients make a CPU step eight times slower (TensorFlow 2.21).
        jit_compile="auto" if keras.backend.backend() == "jax" else False,
    )
    # With variables that its first trace makes, TensorFlow traces a step twice.
    task.model.optimizer.build(task.model.trainable_variables)


def _run(
    config: TrainingConfig, task: Task, folder: RunFolder, distribution: Distribution, say
) -> dict:
    model, steps = task.model, task.training.steps_per_epoch
    distribution.prepare(model, example_batch(task.training.epoch(0)))
    batches = _Distributed(task, config, distribution)
    averages = WeightAverages(
        model,
        batches.for_statistics,
        batches.statistics_steps,
        lambda: distribution.test_function(model),
    )
    loss_watch = LossWatch(steps)
    best = BestModel(f"val_{task.figure}", _best_saver(task, averages, folder, distribution))
    checkpointing = Checkpointing(
        folder.checkpoints, steps, config.checkpoint_steps, folder.writes, loss_watch, best
    )
    start = checkpointing.restore(model, say)
    if not distribution.agree((start.epoch, start.step)):
        raise UserError(
            f"the processes find different checkpoints in --run_dir={config.run_dir}: "
            "it must be one folder that all of them see"
        )
    say(f"starting at epoch {start.epoch}, step {start.step} of {config.epochs} epochs")
    if start.epoch < config.epochs:
        rate = images_per_second(task.training, start.epoch)
        say(f"input pipeline {rate:,.0f} images/s")
        folder.note_start(start, config.seed, str(distribution))
        callbacks = [EpochSeeds(config.seed), loss_watch]
        callbacks += task.callbacks(averages, config.eval_every, distribution)
        callbacks += [checkpointing]
        if distribution.is_chief:
            callbacks += _logs(config, folder, start, steps, say)
        run_epochs(
            model,
            batches,
            task.validation(),
            callbacks,
            start,
            config.epochs,
            config.eval_every,
        )
    return finish(config, task, averages, folder, distribution, best.notes)


class _Distributed:
    """The batches as the engine takes them."""

    def __init__(self, task, config, distribution):
        self.steps_per_epoch = task.training.steps_per_epoch
        self.statistics_steps = min(STATISTICS_STEPS, self.steps_per_epoch)
        self._data = task.training
        self._epochs = config.epochs
        self._rows = config.batch_size // distribution.shard_count
        self._distribution = distribution

    def epoch(self, index, first_step=0):
        dataset = self._data.epoch(index, first_step)
        return self._distribution.dataset(dataset, self.steps_per_epoch - first_step, self._rows)

    def for_statistics(self):
        """Batches at full resolution, always the same; of an epoch that is not trained on."""
        dataset = self._data.epoch(self._epochs).take(self.statistics_steps)
        return self._distribution.dataset(dataset, self.statistics_steps, self._rows)


def _logs(config, folder, start, steps, say):
    if start == Position():
        shutil.rmtree(folder.tensorboard, ignore_errors=True)
    log = EpochLog(folder.log, config.batch_size)
    log.keep(start.epoch)
    callbacks = [log, Progress(steps, config.batch_size)]
    if config.tensorboard:
        callbacks += tensorboard_callbacks(folder.tensorboard, say)
    return callbacks


def _best_saver(task, averages, folder, distribution):
    def save(model):
        with averages.in_place():
            if distribution.is_chief:
                save_trained(task, folder.best, distribution)

    return save


def _silent(line):
    """What one process of several says, the chief says."""
