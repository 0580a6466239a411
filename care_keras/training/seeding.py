"""Random numbers of a run that depend on its seed and the epoch alone."""

import keras
import numpy as np


class EpochSeeds(keras.callbacks.Callback):
    """Seeds the model's random layers at the start of every epoch.

    Keras saves no state of random generators with the weights: without this a
    resumed run would draw other masks of drop path than an unbroken one.

    Args:
        seed: Seed of the run.
    """

    def __init__(self, seed: int):
        super().__init__()
        self.seed = seed

    def on_epoch_begin(self, epoch, logs=None):
        rng = np.random.default_rng((self.seed, epoch))
        # PyTorch's dropout draws from the global generator.
        keras.utils.set_random_seed(int(rng.integers(2**31)))
        for variable in self.model.variables:
            if variable.path.endswith("seed_generator_state"):
                variable.assign(rng.integers(2**31, size=variable.shape))
