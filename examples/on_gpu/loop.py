"""Training with the data set, its augmentation and the steps in one XLA program on a GPU.

`python -m care_keras.train` reads and augments images on the CPU, in any
size and order. Where a data set fits into a GPU's memory, and the network is so
small that the CPU could not keep up, whole epochs run on the GPU instead: JAX
compiles the making of a batch, the step and the averaging of weights together.
"""

import concurrent.futures
import dataclasses
import functools
import pathlib
import sys
import time
from collections.abc import Callable

import jax
import keras
import numpy as np
from jax import numpy as jnp

from care_keras.console.cli import UserError
from care_keras.console.outputs import output_file
from care_keras.training.teaching.optimizer import is_kernel


def prepare(output: str, seed: int) -> pathlib.Path:
    """What both programs begin with: checks, the seed, and convolutions that compile.

    Args:
        output: The value of `--output`.
        seed: Of Keras's random numbers.

    Returns:
        The path of the `.keras` file to write.

    Raises:
        UserError: If Keras does not compute in JAX, or the file could not be written.
    """
    if keras.backend.backend() != "jax":
        backend = keras.backend.backend()
        raise UserError(f"this trains under JAX, and Keras uses {backend}: set KERAS_BACKEND=jax")
    path = output_file("output", output, [".keras"])
    _depthwise_by_taps()
    keras.utils.set_random_seed(seed)
    return path


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Attributes:
        batch_size: Images per step.
        learning_rate: Peak of the learning rate, which rises linearly and falls as a cosine.
        warmup_epochs: Epochs of the rise.
        weight_decay: Of kernels, decoupled.
        average: Momentum of the averages of all weights and statistics.
        global_clipnorm: Largest norm of all gradients together, `None` for any.
        epochs: How many; 0: as many as fit.
        end: When it is to end, by `time.perf_counter()`, if `epochs` does not say.
    """

    batch_size: int
    learning_rate: float
    warmup_epochs: float
    weight_decay: float
    average: float
    global_clipnorm: float | None = None
    epochs: int = 0
    end: float = 0.0


class Training:
    """Trains a Keras model; what it runs begins to be compiled at once, in a thread of its own.

    Args:
        model: Of the JAX backend, built.
        recipe: How.
        data: Arrays, `images` among them, that lie in the device's memory.
        make_batch: `make_batch(data, rows, key)` gives `(inputs, targets)` of some rows
            of the data; traced.
        loss: `loss(targets, outputs)` gives a number; traced.
        seed: Of order and augmentation.
    """

    def __init__(
        self,
        model: keras.Model,
        recipe: Recipe,
        data: dict,
        make_batch: Callable,
        loss: Callable,
        seed: int = 0,
    ):
        self._model, self._recipe = model, recipe
        self._rng, self._key = np.random.default_rng(seed), jax.random.key(seed)
        self._count = len(data["images"])
        self._steps = self._count // recipe.batch_size
        optimizer = _optimizer(model, recipe)
        self._state = _State.of(model, optimizer)
        epoch = jax.jit(_epoch(model, optimizer, recipe, make_batch, loss), donate_argnums=0)
        lowered = epoch.lower(self._state, data, self._rows(), self._key, *_numbers(0, 0.0, 0.0))
        with concurrent.futures.ThreadPoolExecutor(1) as threads:
            self._compiled = threads.submit(lowered.compile)
            # The thread goes on.
            threads.shutdown(wait=False)

    def run(self, data: dict) -> int:
        """Trains; afterwards the model has the averages of its weights.

        Args:
            data: As before, with the values that they have now.

        Returns:
            How many epochs it was trained.

        Raises:
            UserError: If no epoch fits into the time, or the loss stops being a number.
        """
        run_epoch = self._compiled.result()
        data, recipe = jax.device_put(data), self._recipe
        began, done, took = time.perf_counter(), 0, 0.0
        while True:
            now = time.perf_counter()
            if recipe.epochs:
                ended, shares = done == recipe.epochs, np.add(done, (0, 1)) / recipe.epochs
            else:
                # The learning rate falls with the time that has gone.
                ended = now + took > recipe.end
                shares = np.divide((now - began, now + took - began), max(recipe.end - began, 1e-9))
            if ended:
                break
            self._state, losses = run_epoch(
                self._state,
                data,
                self._rows(),
                self._key,
                *_numbers(done * self._steps, *shares),
            )
            loss = float(losses.mean())
            done += 1
            took = time.perf_counter() - now
            if done <= 2 or done % 10 == 0:
                rate = self._steps * recipe.batch_size / took
                print(f"epoch {done}: loss {loss:.4f}, {rate:,.0f} images/s", file=sys.stderr)
            if not np.isfinite(loss):
                raise UserError("the loss is no longer a number; a lower --learning_rate may help")
        if not done:
            raise UserError("the time was over before the first epoch: give more --seconds")
        self._state.give_averages(self._model)
        print(f"{done} epochs in {time.perf_counter() - began:.0f} s", file=sys.stderr)
        return done

    def _rows(self):
        """Images of each step of an epoch."""
        order = self._rng.permutation(self._count)[: self._steps * self._recipe.batch_size]
        return order.reshape(self._steps, -1).astype(np.int32)


def _numbers(first_step, *shares):
    return np.int32(first_step), *map(np.float32, shares)


def _optimizer(model, recipe):
    optimizer = keras.optimizers.AdamW(
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        global_clipnorm=recipe.global_clipnorm,
    )
    optimizer.exclude_from_weight_decay(
        var_list=[variable for variable in model.trainable_variables if not is_kernel(variable)]
    )
    optimizer.build(model.trainable_variables)
    return optimizer


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=("trainable", "rest", "optimizer", "averages"),
    meta_fields=(),
)
@dataclasses.dataclass(frozen=True)
class _State:
    """Values of all variables, and the averages."""

    trainable: list
    rest: list
    optimizer: list
    averages: list

    @classmethod
    def of(cls, model, optimizer) -> "_State":
        def copies(variables):
            return [jnp.array(variable.value, copy=True) for variable in variables]

        return cls(
            copies(model.trainable_variables),
            copies(model.non_trainable_variables),
            copies(optimizer.variables),
            copies(model.trainable_variables + model.non_trainable_variables),
        )

    def give_averages(self, model) -> None:
        variables = model.trainable_variables + model.non_trainable_variables
        for variable, value in zip(variables, self.averages, strict=True):
            variable.assign(value)


def _epoch(model, optimizer, recipe, make_batch, loss):
    """Makes `run(state, data, rows, key, first_step, share, next_share)`.

    It gives the state and the losses after an epoch; the shares are those of the
    training that is over before and after it.
    """
    (place,) = (
        index
        for index, variable in enumerate(optimizer.variables)
        if variable is optimizer._learning_rate
    )

    def run(state, data, rows, key, first_step, share, next_share):
        steps = len(rows)

        def step(state, inputs):
            rows, number, progress = inputs
            images, targets = make_batch(data, rows, jax.random.fold_in(key, number))

            def value(trainable):
                outputs, rest = model.stateless_call(trainable, state.rest, images, training=True)
                return loss(targets, outputs), rest

            (error, rest), gradients = jax.value_and_grad(value, has_aux=True)(state.trainable)
            rising = (number + 1) / max(recipe.warmup_epochs * steps, 1)
            falling = 0.5 + 0.5 * jnp.cos(jnp.pi * jnp.clip(progress, 0.0, 1.0))
            values = list(state.optimizer)
            rate = recipe.learning_rate * jnp.minimum(rising, falling)
            values[place] = rate.astype(values[place].dtype)
            trainable, values = optimizer.stateless_apply(values, gradients, state.trainable)
            # At the beginning they follow closely: nothing of the random start is to stay.
            momentum = jnp.minimum(recipe.average, (1.0 + number) / (10.0 + number))
            averages = [
                _averaged(average, new, momentum)
                for average, new in zip(state.averages, [*trainable, *rest], strict=True)
            ]
            return _State(list(trainable), list(rest), list(values), averages), error

        numbers = first_step + jnp.arange(steps, dtype="int32")
        progress = share + (next_share - share) * jnp.arange(steps) / steps
        return jax.lax.scan(step, state, (rows, numbers, progress))

    return run


def _averaged(average, new, momentum):
    # Random states are whole numbers.
    if not jnp.issubdtype(average.dtype, jnp.floating):
        return new
    return (average * momentum + new * (1.0 - momentum)).astype(average.dtype)


def predictions(model: keras.Model, images: np.ndarray, prepared: Callable) -> np.ndarray:
    """Outputs of all images, 1,000 at a time; `prepared` makes inputs of pixels, traced."""

    @jax.jit
    def outputs(trainable, rest, pixels):
        return model.stateless_call(trainable, rest, prepared(pixels), training=False)[0]

    trainable = [variable.value for variable in model.trainable_variables]
    rest = [variable.value for variable in model.non_trainable_variables]
    parts = [images[start : start + 1000] for start in range(0, len(images), 1000)]
    return np.concatenate([np.asarray(outputs(trainable, rest, part)) for part in parts])


def _depthwise_by_taps() -> None:
    """Makes Keras's depthwise convolutions sums of shifted products, which XLA fuses.

    As convolutions, their gradients are not compiled for minutes (JAX 0.11 on an
    H200: after two minutes none of a CARE-Nano, as sums all in half of that).
    """
    keras.src.backend.nn.depthwise_conv = _depthwise_conv


def _depthwise_conv(
    inputs, kernel, strides=1, padding="valid", data_format=None, dilation_rate=1
) -> jax.Array:
    kernel = jnp.asarray(getattr(kernel, "value", kernel))
    strides = (strides, strides) if isinstance(strides, int) else strides
    places, around = [], []
    for taps, stride, size in zip(kernel.shape, strides, inputs.shape[1:3], strict=False):
        same = padding == "same"
        count = -(-size // stride) if same else (size - taps) // stride + 1
        missing = max((count - 1) * stride + taps - size, 0) if same else 0
        around.append((missing // 2, missing - missing // 2))
        places.append([slice(t, t + (count - 1) * stride + 1, stride) for t in range(taps)])
    inputs = jnp.pad(inputs, ((0, 0), *around, (0, 0)))
    return sum(
        inputs[:, rows, columns] * kernel[y, x, :, 0]
        for y, rows in enumerate(places[0])
        for x, columns in enumerate(places[1])
    )


def cross_entropy(targets: jax.Array, logits: jax.Array) -> jax.Array:
    """Mean over the images."""
    return -(targets * jax.nn.log_softmax(logits.astype(jnp.float32))).sum(-1).mean()
