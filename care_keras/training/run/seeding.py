"""Random generators that no Keras variable holds.

Keras's random layers keep their states in variables of the model, but PyTorch's
dropout draws from its global generators. So do its data loaders, each time one
is started: the generators are set when an epoch's first batch is there.
"""

import keras
import numpy as np


class EpochSeeds(keras.callbacks.Callback):
    """Seeds PyTorch's generators at the start of every epoch, by the run's seed and the epoch.

    Args:
        seed: Seed of the run.
    """

    def __init__(self, seed: int):
        super().__init__()
        self.seed = seed

    def on_epoch_begin(self, epoch, logs=None) -> None:
        self._epoch = epoch

    def on_train_batch_begin(self, batch, logs=None) -> None:
        # An epoch that is gone on with starts at a later batch, with the state of then.
        if batch == 0 and keras.backend.backend() == "torch":
            import torch

            rng = np.random.default_rng((self.seed, self._epoch))
            torch.manual_seed(int(rng.integers(2**31)))


def random_state() -> dict[str, np.ndarray]:
    """State of the backend's own generators, by name; empty but under PyTorch."""
    if keras.backend.backend() != "torch":
        return {}
    import torch

    state = {"random/torch": torch.get_rng_state()}
    if torch.cuda.is_available():
        for i, value in enumerate(torch.cuda.get_rng_state_all()):
            state[f"random/cuda{i}"] = value
    return {name: value.numpy() for name, value in state.items()}


def set_random_state(state: dict[str, np.ndarray]) -> None:
    """Sets the generators to what `random_state` gave; other names are passed over."""
    if "random/torch" not in state or keras.backend.backend() != "torch":
        return
    import torch

    torch.set_rng_state(torch.from_numpy(state["random/torch"]))
    if torch.cuda.is_available():
        for i in range(torch.cuda.device_count()):
            if f"random/cuda{i}" in state:
                torch.cuda.set_rng_state(torch.from_numpy(state[f"random/cuda{i}"]), i)
