"""The devices that a run asks for, set up by the backend that can."""

import keras

from care_keras.console.cli import UserError
from care_keras.training.devices.distribution import Distribution
from care_keras.training.devices.hosts import DISTRIBUTIONS, Hosts

_ONE_HOST = Hosts()


def create_distribution(
    name: str,
    hosts: Hosts = _ONE_HOST,
    sync_batch_norm: bool = True,
) -> Distribution:
    """Sets up the devices; to be called before anything else is computed.

    Args:
        name: One of `DISTRIBUTIONS`; `"auto"` takes all devices that the backend
            has, and one if it knows no distribution.
        hosts: Which of several processes this is.
        sync_batch_norm: Whether BatchNorm takes its statistics over the whole
            batch under TensorFlow, not over each device's share. (Under JAX it
            always does.)

    Raises:
        UserError: If the backend or this machine cannot do it.
    """
    backend = keras.backend.backend()
    if name not in DISTRIBUTIONS:
        raise UserError(f"--distribute must be one of {', '.join(DISTRIBUTIONS)}, not {name!r}")
    if hosts != _ONE_HOST and (backend != "jax" or name not in ("auto", "data_parallel")):
        raise UserError(
            "--coordinator_address, --num_processes and --process_id go with "
            "--distribute=data_parallel under JAX; TensorFlow reads TF_CONFIG"
        )
    if name == "none" or (name == "auto" and backend not in ("jax", "tensorflow")):
        return Distribution()
    if name == "data_parallel" and backend != "jax":
        raise UserError(_other_backend(name, backend, "jax"))
    if name in ("mirrored", "multi_worker") and backend != "tensorflow":
        raise UserError(_other_backend(name, backend, "tensorflow"))
    if backend == "jax":
        from care_keras.training.devices.jax import create

        return create(hosts, required=name != "auto")
    from care_keras.training.devices.tensorflow import create

    return create(name, sync_batch_norm)


def _other_backend(name, backend, needed):
    instead = {"jax": "--distribute=data_parallel", "tensorflow": "--distribute=mirrored"}
    way_out = f"KERAS_BACKEND={needed}"
    if backend in instead:
        way_out += f", or use {instead[backend]}"
    return f"--distribute={name} needs {needed}, not the {backend} backend: set {way_out}"
