import numpy as np


def arrays_of(dataset):
    """The batches of any engine as NumPy arrays: as many as it says that they are."""
    batches = [tuple(np.asarray(part) for part in batch) for batch in dataset]
    assert len(dataset) == len(batches)
    return batches
