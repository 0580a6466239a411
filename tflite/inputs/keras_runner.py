"""A Keras model that is run on any number of examples."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from care_keras.litert.file import filled

if TYPE_CHECKING:
    import keras

# Examples from which on making a graph of a model pays: it takes 3 to 30 s, and halves the time of
# CARE-Nano, that of its quantized form by five.
_GRAPH_EXAMPLES = 1000


class KerasRunner:
    """Runs a Keras model on prepared inputs.

    Args:
        model: The model.
        examples: How many it is for, in all.
    """

    def __init__(self, model: "keras.Model", examples: int):
        self._model = model
        self._graph = examples >= _GRAPH_EXAMPLES
        self._rows = 0
        if self._graph:
            from care_keras.training.devices.grappler import set_up_grappler

            set_up_grappler()

    def __call__(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """float32 outputs for what the inputs take, both in the model's order."""
        import keras

        rows = len(inputs[0])
        if self._graph:
            # Always as many rows: another number would be traced anew.
            self._rows = max(self._rows, rows)
            inputs = [filled(one, self._rows) for one in inputs]
        structure = inputs[0]
        if len(inputs) > 1:
            structure = keras.tree.pack_sequence_as(self._model.input, list(inputs))
        if self._graph:
            outputs = self._model.predict_on_batch(structure)
        else:
            outputs = self._model(structure, training=False)
        return [
            keras.ops.convert_to_numpy(output)[:rows].astype(np.float32)
            for output in keras.tree.flatten(outputs)
        ]
