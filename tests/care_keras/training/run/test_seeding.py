import keras
import pytest

from care_keras.training.run.seeding import EpochSeeds, random_state, set_random_state

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="only PyTorch draws from generators of its own"
)


def drawn():
    return keras.ops.convert_to_numpy(keras.random.dropout(keras.ops.ones(64), 0.5)).tolist()


def test_the_state_brings_back_what_is_drawn():
    state = random_state()
    first = drawn()
    assert drawn() != first
    set_random_state(state)
    assert drawn() == first


def draws_of(seed, epochs):
    """What is drawn in the steps of some epochs, by epoch."""
    callback = EpochSeeds(seed)
    draws = {}
    for epoch in epochs:
        callback.on_epoch_begin(epoch)
        for batch in range(2):
            callback.on_train_batch_begin(batch)
            draws[epoch, batch] = drawn()
    return draws


def test_an_epoch_depends_on_seed_and_epoch_alone():
    unbroken = draws_of(7, range(3))
    drawn()
    assert draws_of(7, [2]) == {place: unbroken[place] for place in [(2, 0), (2, 1)]}
    assert len(set(map(tuple, unbroken.values()))) == 6
    assert draws_of(8, [2])[2, 0] != unbroken[2, 0]
