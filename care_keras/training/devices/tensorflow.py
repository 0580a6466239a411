"""Training on several devices and hosts with TensorFlow: `tf.distribute`."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator

import keras
import tensorflow as tf

from care_keras.console.cli import UserError
from care_keras.files import first_line
from care_keras.training.devices.distribution import Distribution


class Mirrored(Distribution):
    """`MirroredStrategy`: all devices of one process.

    Args:
        strategy: The strategy.
        sync_batch_norm: Whether BatchNorm takes its statistics over the whole batch.
    """

    name = "mirrored"

    def __init__(self, strategy: tf.distribute.Strategy, sync_batch_norm: bool = True):
        self.strategy = strategy
        self.sync_batch_norm = sync_batch_norm
        self.replicas = strategy.num_replicas_in_sync

    def scope(self) -> contextlib.AbstractContextManager:
        return self.strategy.scope()

    def prepare(self, model, batch) -> None:
        optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
        if optimizer.gradient_accumulation_steps:
            raise UserError(
                f"gradients cannot be accumulated with --distribute={self.name} (TensorFlow's "
                "optimizers cannot): use KERAS_BACKEND=jax, or a larger --batch_size"
            )
        if self.sync_batch_norm:
            for layer in model._flatten_layers():
                if isinstance(layer, keras.layers.BatchNormalization):
                    layer.synchronized = True
        _sum_gradients_first(model.optimizer)
        with self.strategy.scope():
            super().prepare(model, batch)
        # Built: Keras would take a batch of every epoch to build it with.
        model._maybe_symbolic_build = lambda *args, **kwargs: None

    def dataset(self, dataset, steps, rows) -> tf.data.Dataset:
        return self.strategy.experimental_distribute_dataset(dataset)


class MultiWorker(Mirrored):
    """`MultiWorkerMirroredStrategy`: all devices of several processes.

    Args:
        strategy: The strategy.
        shard_index: Number of this process, the chief first.
        shard_count: Number of processes.
        sync_batch_norm: Whether BatchNorm takes its statistics over the whole batch.
    """

    name = "multi_worker"

    def __init__(self, strategy, shard_index: int, shard_count: int, sync_batch_norm: bool = True):
        super().__init__(strategy, sync_batch_norm)
        self.shard_index = shard_index
        self.shard_count = shard_count

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        try:
            yield
        except (tf.errors.UnavailableError, tf.errors.AbortedError) as error:
            raise UserError(
                "another process of this run has ended: see what it says, and start all of them "
                "again; the run goes on from its newest checkpoint"
            ) from error

    def prepare(self, model, batch) -> None:
        super().prepare(model, batch)
        # Those that Keras makes (3.15) cannot reduce the workers' results.
        model.train_function = self._function(model.train_step)
        model.test_function = self.test_function(model)

    def test_function(self, model) -> Callable:
        return self._function(model.test_step)

    def dataset(self, dataset, steps, rows) -> tf.data.Dataset:
        # That of one process would take the rows of this one for those of all.
        if self.local_replicas > 1:
            dataset = dataset.rebatch(rows // self.local_replicas, drop_remainder=True)
        distributed = self.strategy.distribute_datasets_from_function(lambda context: dataset)
        # Keras takes it for the number of steps; it counts each replica's batches.
        distributed._cardinality = steps
        return distributed

    def _function(self, step):
        strategy = self.strategy

        @tf.function(reduce_retracing=True, autograph=False)
        def run(batch):
            results = strategy.run(step, args=(batch,))
            return keras.tree.map_structure(
                lambda value: strategy.reduce("MEAN", value, axis=None), results
            )

        return lambda iterator: run(next(iterator))

    def agree(self, numbers) -> bool:
        @tf.function
        def gathered():
            mine = self.strategy.run(lambda: tf.constant([numbers], tf.int64))
            return self.strategy.gather(mine, axis=0)

        values = gathered().numpy()
        return bool((values == values[0]).all())


def create(name: str, sync_batch_norm: bool) -> Distribution:
    """`name` is `"mirrored"`, `"multi_worker"`, or `"auto"`, which takes what there is.

    Raises:
        UserError: If `TF_CONFIG` is missing or wrong, or TensorFlow is in use already.
    """
    workers = _workers()
    if name == "multi_worker" or (name == "auto" and workers is not None and workers[1] > 1):
        if workers is None:
            raise UserError(
                "--distribute=multi_worker needs the environment variable TF_CONFIG, such as "
                '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, '
                '"task": {"type": "worker", "index": 0}}'
            )
        try:
            strategy = tf.distribute.MultiWorkerMirroredStrategy()
        except (RuntimeError, tf.errors.OpError) as error:
            raise UserError(
                f"the workers of TF_CONFIG could not meet ({first_line(error)})"
            ) from error
        return MultiWorker(strategy, *workers, sync_batch_norm)
    devices = [
        device.name
        for device in tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    ]
    if name == "auto" and len(devices) == 1:
        return Distribution()
    return Mirrored(tf.distribute.MirroredStrategy(devices), sync_batch_norm)


def _workers():
    """`(number of this process, number of processes)` of `TF_CONFIG`, if it is set."""
    text = os.environ.get("TF_CONFIG")
    if not text:
        return None
    try:
        config = json.loads(text)
        cluster, task = config["cluster"], config["task"]
        members = [("chief", i) for i in range(len(cluster.get("chief", [])))]
        members += [("worker", i) for i in range(len(cluster.get("worker", [])))]
        return members.index((task["type"], int(task["index"]))), len(members)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            'TF_CONFIG must be JSON that names the workers, {"cluster": {"worker": [...]}, '
            f'"task": {{"type": "worker", "index": 0}}}}, not {text!r}'
        ) from error


def _sum_gradients_first(optimizer):
    """Gives the optimizer the gradients of the whole batch.

    Keras's would clip those of each replica by themselves and sum them after.
    """
    apply = optimizer.apply

    def apply_sum(grads, trainable_variables=None):
        present = [grad for grad in grads if grad is not None]
        context = tf.distribute.get_replica_context()
        summed = iter(context.all_reduce(tf.distribute.ReduceOp.SUM, present))
        grads = [None if grad is None else next(summed) for grad in grads]
        return apply(grads, trainable_variables)

    optimizer.apply = apply_sum
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    inner._all_reduce_sum_gradients = lambda pairs: list(pairs)
