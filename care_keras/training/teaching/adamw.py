"""AdamW, of which TensorFlow has one operation."""

import keras


@keras.saving.register_keras_serializable(package="care_keras")
class AdamW(keras.optimizers.AdamW):
    """`keras.optimizers.AdamW`, with a weight's update as one operation of TensorFlow's graph.

    Keras writes it as 40, which take longer to trace than an epoch of a small data set where
    weights are many, as a quantized form's are. `ResourceApplyAdam` is the same arithmetic. Under
    other backends, and where one of TensorFlow's strategies keeps copies of the weights, all is
    Keras's own.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._fused = _Fused()

    def add_optimizer_variables(self, trainable_variables, name, initializer="zeros") -> tuple:
        """Keras's method; remembers the moments that `build` has it make."""
        made = super().add_optimizer_variables(trainable_variables, name, initializer)
        if list(name) == ["momentum", "velocity"] and not self.amsgrad and _is_one_tensorflow():
            self._fused.moments = {
                variable.value.ref(): (momentum.value, velocity.value)
                for variable, momentum, velocity in zip(trainable_variables, *made, strict=True)
                if momentum is not None and variable.dtype == "float32"
            }
        return made

    def apply(self, grads, trainable_variables=None) -> None:
        """Keras's method; what all updates have in common is computed once."""
        if _is_one_tensorflow():
            step = keras.ops.cast(self.iterations + 1, "float32")
            self._fused.powers = self.beta_1**step, self.beta_2**step
        super().apply(grads, trainable_variables)

    def update_step(self, gradient, variable, learning_rate) -> None:
        """Keras's method: the update of one weight."""
        moments = self._fused.moments and self._fused.moments.get(variable.ref())
        if not moments:
            super().update_step(gradient, variable, learning_rate)
            return
        import tensorflow as tf

        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=moments[0].handle,
            v=moments[1].handle,
            beta1_power=self._fused.powers[0],
            beta2_power=self._fused.powers[1],
            lr=tf.cast(learning_rate, "float32"),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.convert_to_tensor(gradient),
        )


class _Fused:
    """What updates in one operation need; Keras would track it as an attribute of its own.

    Attributes:
        moments: Both, by the reference of their weight; empty where updates are Keras's.
        powers: Of both betas, to the number of the step that is being applied.
    """

    def __init__(self):
        self.moments = {}
        self.powers = ()


def _is_one_tensorflow():
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return not tf.distribute.has_strategy()
