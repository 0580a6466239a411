"""The loop over epochs: `fit` for each of them, from any step on."""

from collections.abc import Sequence
from typing import Any, Protocol

import keras

from care_keras.training.run.checkpoint import Position


class TrainingData(Protocol):
    """Batches of every epoch, from any step on.

    Attributes:
        steps_per_epoch: Steps of one epoch.
    """

    steps_per_epoch: int

    def epoch(self, index: int, first_step: int = 0) -> Any:
        """What `fit` takes: the batches of an epoch, without its first ones."""


def run_epochs(
    model: keras.Model,
    data: TrainingData,
    evaluation,
    callbacks: Sequence[keras.callbacks.Callback],
    start: Position,
    epochs: int,
    eval_every: int = 1,
) -> None:
    """Trains from a position to the end.

    Args:
        model: A compiled model.
        data: Batches to train on.
        evaluation: What `evaluate` takes.
        callbacks: They see one training from `start` on; steps count from the
            start of their epoch, and step results stay on the device.
        start: Where to start.
        epochs: Epochs of the whole run.
        eval_every: Epochs between evaluations; the last is evaluated too.
    """
    callbacks = _Callbacks(
        list(callbacks),
        # `fit` returns it.
        add_history=True,
        model=model,
        epochs=epochs,
        steps=data.steps_per_epoch,
    )
    callbacks.begin()
    for epoch in range(start.epoch, epochs):
        callbacks.first_step = start.step if epoch == start.epoch else 0
        model.fit(
            data.epoch(epoch, callbacks.first_step),
            initial_epoch=epoch,
            epochs=epoch + 1,
            # Shuffled already; Keras would reorder some batches, not reproducibly.
            shuffle=False,
            validation_data=evaluation if is_evaluated(epoch, epochs, eval_every) else None,
            callbacks=callbacks,
            verbose=0,
        )
    callbacks.end()


def is_evaluated(epoch: int, epochs: int, eval_every: int) -> bool:
    """Whether an epoch, of numbers from 0 on, ends with an evaluation."""
    return (epoch + 1) % eval_every == 0 or epoch + 1 == epochs


class _Callbacks(keras.callbacks.CallbackList):
    """Makes one training of many calls of `fit`."""

    first_step = 0

    def begin(self):
        super().on_train_begin()

    def end(self):
        super().on_train_end()

    def on_train_begin(self, logs=None):
        """Of one epoch."""

    def on_train_end(self, logs=None):
        """Of one epoch."""

    def on_train_batch_begin(self, batch, logs=None):
        for callback in self.callbacks:
            callback.on_train_batch_begin(self.first_step + batch)

    # Keras's own turns the results into numbers, and so waits for every step.
    def on_train_batch_end(self, batch, logs=None):
        for callback in self.callbacks:
            callback.on_train_batch_end(self.first_step + batch, logs)
