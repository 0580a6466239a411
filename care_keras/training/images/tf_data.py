"""Batches on tf.data, under every backend."""

import contextlib
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING

import keras
import numpy as np

from care_keras.training.images.engine import GROUP, Engine

if TYPE_CHECKING:
    import tensorflow as tf


class TfData(Engine):
    """Keras's preprocessing layers run on TensorFlow; see `Engine`."""

    name = "tf.data"

    def epoch(self, epoch, augment, teacher) -> "tf.data.Dataset":
        tf = tensorflow_for_data()

        def read(start, end, first, last):
            types = [dtype for _, dtype in epoch.specs]
            arrays = tf.numpy_function(epoch.load, [start, end], types, stateful=False)
            for array, (shape, _) in zip(arrays, epoch.specs, strict=True):
                array.set_shape(shape)
            images, targets = augment(*arrays)
            return images[first:last], targets[first:last]

        def taught(images, targets):
            logits = tf.numpy_function(teacher, [images], tf.float32)
            logits.set_shape(targets.shape)
            return images, tf.concat([targets, logits], axis=1)

        dataset = tf.data.Dataset.from_tensor_slices(epoch.groups)
        dataset = dataset.map(read, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        dataset = dataset.rebatch(epoch.rows, drop_remainder=True)
        if teacher is not None:
            dataset = dataset.map(taught)
        return _finished(dataset, epoch.steps)

    def evaluation(self, load, image_shape, classes, size, rows) -> "tf.data.Dataset":
        tf = tensorflow_for_data()

        def read(start, end):
            images, labels = tf.numpy_function(
                load, [start, end], [tf.float32, tf.int32], stateful=False
            )
            images.set_shape((None, *image_shape))
            labels.set_shape((None,))
            return images, tf.one_hot(labels, classes)

        starts = np.arange(0, size, GROUP)
        ends = np.minimum(starts + GROUP, size)
        dataset = tf.data.Dataset.from_tensor_slices((starts, ends))
        dataset = dataset.map(read, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        return _finished(dataset.rebatch(rows), -(-size // rows))

    def filled_up(self, dataset, rows, steps, weight) -> "tf.data.Dataset":
        tf = tensorflow_for_data()

        def fill(images, targets):
            count = tf.shape(images)[0]
            weights = tf.where(tf.range(rows) < count, np.float32(weight), 0.0)
            return _lengthened(tf, images, rows), _lengthened(tf, targets, rows), weights

        missing = steps - len(dataset)
        dataset = dataset.map(fill)
        if missing:
            nothing = keras.tree.map_structure(
                lambda spec: tf.zeros(spec.shape, spec.dtype), dataset.element_spec
            )
            dataset = dataset.concatenate(tf.data.Dataset.from_tensors(nothing).repeat(missing))
        return dataset.apply(tf.data.experimental.assert_cardinality(steps))

    def compiled(self, augment) -> Callable[..., tuple]:
        tf = tensorflow_for_data()

        # Traced once, not once for each epoch.
        @tf.function(autograph=False)
        def function(*arrays_and_key):
            *arrays, key = arrays_and_key
            return augment(*arrays, GroupSeeds(key))

        return function

    def adopt(self, layer) -> None:
        layer.backend.set_backend("tensorflow")

    def normal(self, shape, seeds) -> "tf.Tensor":
        import tensorflow as tf

        return tf.random.stateless_normal(shape, seeds.next())

    def one_hot(self, labels, classes) -> "tf.Tensor":
        import tensorflow as tf

        return tf.one_hot(labels, classes)

    def floats(self, pixels) -> "tf.Tensor":
        import tensorflow as tf

        return tf.cast(pixels, tf.float32)

    def one_of(self, share, chosen, other, seeds) -> tuple:
        import tensorflow as tf

        # Seeds are counted while this is traced: each branch is traced once.
        draw = tf.random.stateless_uniform((), seeds.next())
        return tf.cond(draw < share, chosen, other)

    def by_rows(self, images, branches, arguments) -> "tf.Tensor":
        import tensorflow as tf

        # All images as they are come first: what was computed overwrites its rows.
        places, results = [tf.range(tf.shape(images)[0])], [images]
        for function, chosen in branches:
            rows = tf.cast(tf.where(chosen)[:, 0], tf.int32)
            results.append(function(*(tf.gather(argument, rows) for argument in arguments)))
            places.append(rows)
        return tf.ensure_shape(tf.dynamic_stitch(places, results), images.shape)

    def histograms(self, values, count) -> "tf.Tensor":
        import tensorflow as tf

        size = count * 256
        counts = tf.math.bincount(tf.reshape(values, [-1]), minlength=size, maxlength=size)
        return tf.reshape(counts, (-1, 256))


class GroupSeeds(keras.random.SeedGenerator):
    """Seeds that depend on a key and on how many were drawn before, and on nothing else.

    Keras's own generator counts in a variable, in the order in which parallel
    calls happen to run; this one counts while the graph is traced.

    Args:
        key: int32 tensor of shape `(2,)`.
    """

    # The base class makes a variable.
    def __init__(self, key):
        self.key = key
        self.drawn = 0

    def next(self, ordered=True) -> "tf.Tensor":
        import tensorflow as tf

        self.drawn += 1
        return tf.random.experimental.stateless_fold_in(self.key, self.drawn)


def _finished(dataset, steps):
    tf = tensorflow_for_data()
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(steps))
    return dataset.prefetch(tf.data.AUTOTUNE).with_options(_options())


def _lengthened(tf, values, rows):
    padding = [[0, rows - tf.shape(values)[0]]] + [[0, 0]] * (len(values.shape) - 1)
    values = tf.pad(values, padding)
    values.set_shape((rows, *values.shape[1:]))
    return values


def tensorflow_for_data() -> ModuleType:
    """TensorFlow, kept away from the memory of GPUs that another backend trains on."""
    import tensorflow as tf

    if keras.backend.backend() != "tensorflow":
        # Too late if something used TensorFlow on a GPU before: then it has the memory already.
        with contextlib.suppress(RuntimeError):
            tf.config.set_visible_devices([], "GPU")
    return tf


def _options() -> "tf.data.Options":
    """Options of every data set: work is divided among tasks, not inside operations."""
    tf = tensorflow_for_data()
    options = tf.data.Options()
    # Also keeps sums in one order, however many cores there are.
    options.threading.max_intra_op_parallelism = 1
    # Each process reads its own rows: what is divided must not be divided again.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return options
