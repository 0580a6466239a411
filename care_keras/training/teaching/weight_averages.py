"""The optimizer's moving averages of the weights, in the model's place."""

import contextlib
from collections.abc import Callable, Iterator

import keras

# BatchNorm's statistics of the averages: how many batches they are taken from, at most, and how
# much of the statistics of before is left then.
STATISTICS_STEPS = 50
_LEFT = 0.005


class WeightAverages:
    """Puts the averages that an optimizer keeps (`use_ema`) in the place of the weights.

    BatchNorm's statistics belong to the weights that they were taken with: for
    the averages they are taken anew, from batches of training images, while all
    else works as in inference. Source: "Averaging Weights Leads to Wider Optima
    and Better Generalization", arXiv 1803.05407, section 3.2.

    Args:
        model: A compiled model; nothing is done if its optimizer keeps no
            averages.
        batches: `batches()` gives what `evaluate` takes.
        steps: How many batches those are.
        test_function: `test_function()` makes what runs a step of `evaluate`;
            `None` leaves that to Keras.
    """

    def __init__(
        self,
        model: keras.Model,
        batches: Callable[[], object],
        steps: int,
        test_function: Callable[[], Callable | None] = lambda: None,
    ):
        self._model = model
        self._batches = batches
        self._steps = steps
        self._test_function = test_function
        self._function = None
        self._statistics = None

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Within it the model has the averages; afterwards exactly the weights of before.

        (Keras's `SwapEMAWeights` swaps by sums and differences under TensorFlow,
        which round.) Where several processes train, all of them have to enter.
        """
        pairs = _averages(self._model.optimizer)
        if not pairs:
            yield
            return
        replaced = [variable for variable, _ in pairs] + self._statistics_variables()
        raw = [keras.ops.copy(variable) for variable in replaced]
        for variable, average in pairs:
            # A copy: JAX's evaluation gives the memory of the model's arrays away.
            variable.assign(keras.ops.copy(average))
        try:
            self._set_statistics()
            yield
        finally:
            for variable, value in zip(replaced, raw, strict=True):
                variable.assign(value)

    def forget(self) -> None:
        """Says that the averages have moved: statistics are taken anew when they are needed."""
        self._statistics = None

    def _layers(self):
        layers = self._model._flatten_layers()
        return [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]

    def _statistics_variables(self):
        return [
            variable
            for layer in self._layers()
            for variable in (layer.moving_mean, layer.moving_variance)
        ]

    def _set_statistics(self):
        variables = self._statistics_variables()
        if not variables:
            return
        if self._statistics is None:
            self._take_statistics()
            self._statistics = [keras.ops.copy(variable) for variable in variables]
            return
        for variable, value in zip(variables, self._statistics, strict=True):
            variable.assign(keras.ops.copy(value))

    def _take_statistics(self):
        """Runs an evaluation in which BatchNorm works as in training."""
        model = self._model
        usual = model.test_function, model.test_step
        # A function of its own: JAX would take one of the same step for compiled already.
        model.test_step = lambda *args: usual[1](*args)
        model.test_function = self._function or self._test_function()
        try:
            with contextlib.ExitStack() as stack:
                for layer in self._layers():
                    stack.enter_context(_taking_statistics(layer, _LEFT ** (1 / self._steps)))
                model.evaluate(self._batches(), verbose=0)
            self._function = model.test_function
        finally:
            model.test_function, model.test_step = usual


class EvaluateAverages(keras.callbacks.Callback):
    """Evaluates the averages of the weights during `fit`.

    Args:
        averages: Of the model.
    """

    def __init__(self, averages: WeightAverages):
        super().__init__()
        self._averages = averages

    def on_train_batch_end(self, batch, logs=None) -> None:
        self._averages.forget()

    def on_test_begin(self, logs=None) -> None:
        self._in_place = contextlib.ExitStack()
        self._in_place.enter_context(self._averages.in_place())

    def on_test_end(self, logs=None) -> None:
        self._in_place.close()


def keep_weights_after_fit(optimizer: keras.optimizers.Optimizer) -> None:
    """Stops `fit` from overwriting the weights by their averages when it returns.

    It is called once for each epoch; the next one goes on from the weights.
    """
    optimizer.finalize_variable_values = lambda variables: None


@contextlib.contextmanager
def _taking_statistics(layer, momentum):
    """Within it a BatchNorm updates its statistics in inference too."""
    call, before = layer.call, layer.momentum

    def call_as_in_training(inputs, training=None, mask=None):
        return call(inputs, training=True, mask=mask)

    layer.call, layer.momentum = call_as_in_training, momentum
    try:
        yield
    finally:
        layer.call, layer.momentum = call, before


def _averages(optimizer):
    """Pairs of a weight and its average."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    if not optimizer.use_ema or not keras.ops.convert_to_numpy(optimizer.iterations):
        return []
    averages = optimizer._model_variables_moving_average
    return list(zip(optimizer._trainable_variables, averages, strict=True))
