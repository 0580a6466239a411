"""Training on several devices and hosts with JAX: `keras.distribution.DataParallel`."""

import contextlib
import os
from collections.abc import Iterator

import jax
import keras
import numpy as np

from care_keras.console.cli import UserError
from care_keras.files import first_line
from care_keras.training.devices.distribution import Distribution
from care_keras.training.devices.hosts import Hosts


class DataParallel(Distribution):
    """Weights on every device, batches divided; XLA sees the whole batch as one."""

    name = "data_parallel"

    def __init__(self):
        # Each process reads its own rows.
        self._distribution = keras.distribution.DataParallel(auto_shard_dataset=False)
        self.replicas = keras.distribution.get_device_count()
        self.shard_index = jax.process_index()
        self.shard_count = jax.process_count()

    def active(self) -> contextlib.AbstractContextManager:
        return self._distribution.scope()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        # A variable of all processes can only be made by all of them.
        before = keras.distribution.distribution()
        keras.distribution.set_distribution(None)
        try:
            yield
        finally:
            keras.distribution.set_distribution(before)

    def agree(self, numbers) -> bool:
        if self.shard_count == 1:
            return True
        from jax.experimental import multihost_utils

        gathered = multihost_utils.process_allgather(np.asarray(numbers, np.int32))
        return bool((gathered == gathered[0]).all())


def create(hosts: Hosts, required: bool) -> Distribution:
    """All devices of all processes.

    Args:
        hosts: Which of several processes this is.
        required: Whether one device alone is distributed too.

    Raises:
        UserError: If the processes are described wrongly, or do not meet.
    """
    if _several_processes(hosts):
        _meet(hosts)
    if not required and keras.distribution.get_device_count() == 1:
        return Distribution()
    return DataParallel()


def _several_processes(hosts):
    given = {
        "--coordinator_address or KERAS_DISTRIBUTION_JOB_ADDRESSES": hosts.coordinator_address
        or os.environ.get("KERAS_DISTRIBUTION_JOB_ADDRESSES"),
        "--num_processes or KERAS_DISTRIBUTION_NUM_PROCESSES": hosts.num_processes
        or os.environ.get("KERAS_DISTRIBUTION_NUM_PROCESSES"),
        "--process_id or KERAS_DISTRIBUTION_PROCESS_ID": hosts.process_id >= 0
        or os.environ.get("KERAS_DISTRIBUTION_PROCESS_ID"),
    }
    missing = [name for name, value in given.items() if not value]
    if len(missing) == len(given):
        return False
    if missing:
        raise UserError(f"training on several hosts needs {missing[0]} too")
    return True


def _meet(hosts):
    if 0 < hosts.num_processes <= hosts.process_id:
        raise UserError(
            f"--process_id={hosts.process_id} must be less than "
            f"--num_processes={hosts.num_processes}: it counts from 0"
        )
    try:
        keras.distribution.initialize(
            hosts.coordinator_address or None,
            hosts.num_processes or None,
            hosts.process_id if hosts.process_id >= 0 else None,
        )
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"the processes could not meet ({first_line(error)}): "
            "--coordinator_address is HOST:PORT of the process with --process_id=0"
        ) from error
