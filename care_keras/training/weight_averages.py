"""The optimizer's moving averages of the weights, in the model's place."""

import contextlib
from collections.abc import Iterator

import keras


@contextlib.contextmanager
def averaged_weights(model: keras.Model) -> Iterator[None]:
    """Within it the model has the averages that its optimizer keeps, if it does (`use_ema`).

    Afterwards it has exactly the weights of before. (Keras's `SwapEMAWeights`
    swaps by sums and differences under TensorFlow, which round.)
    """
    pairs = _averages(model.optimizer)
    raw = [keras.ops.copy(variable) for variable, _ in pairs]
    for variable, average in pairs:
        # A copy: JAX's evaluation gives the memory of the model's arrays away.
        variable.assign(keras.ops.copy(average))
    try:
        yield
    finally:
        for (variable, _), value in zip(pairs, raw, strict=True):
            variable.assign(value)


class EvaluateAverages(keras.callbacks.Callback):
    """Evaluates the averages of the weights during `fit`."""

    def on_test_begin(self, logs=None):
        self._averages = contextlib.ExitStack()
        self._averages.enter_context(averaged_weights(self.model))

    def on_test_end(self, logs=None):
        self._averages.close()


def keep_weights_after_fit(optimizer: keras.optimizers.Optimizer) -> None:
    """Stops `fit` from overwriting the weights by their averages when it returns.

    It is called once for each epoch; the next one goes on from the weights.
    """
    optimizer.finalize_variable_values = lambda variables: None


def _averages(optimizer):
    """Pairs of a weight and its average."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    if optimizer is None or not optimizer.use_ema or not optimizer.built:
        return []
    averages = optimizer._model_variables_moving_average
    return list(zip(optimizer._trainable_variables, averages, strict=True))
