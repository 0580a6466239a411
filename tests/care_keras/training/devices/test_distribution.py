"""Runs on several simulated devices and processes come to what one device comes to."""

import contextlib
import json
import signal
import socket
import types

import keras
import pytest

from care_keras.console.cli import UserError
from care_keras.training.devices.create import create_distribution
from care_keras.training.devices.hosts import DISTRIBUTIONS, Hosts
from care_keras.training.trainer import train
from tests.care_keras.training import runs

pytestmark = pytest.mark.usefixtures("tiny_config", "without_graphs")

BACKEND = keras.backend.backend()
NAMES = {"tensorflow": ("mirrored", "multi_worker"), "jax": ("data_parallel", "data_parallel")}
# Random layers draw for a device's share of a batch what they draw for the whole on one device.
CHANGES = {
    "model": "tiniest",
    "epochs": 2,
    "drop_path": 0.0,
    "low_resolution_epochs": 0,
    "eval_every": 1,
    "checkpoint_steps": 2,
    "ema_momentum": 0.8,
    # Less than the gradients have: each replica's alone would be cut at another norm.
    "global_clipnorm": 0.1,
}
several_devices = pytest.mark.skipif(
    BACKEND not in NAMES, reason=f"Keras distributes nothing under {BACKEND}"
)


def free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def start(images, run_dir, distribute, environment=(), **changes):
    """Starts a run on several devices, in a process of its own."""
    arguments = {name: changes.pop(name) for name in ("kill_after", "devices") if name in changes}
    settings = {"images": images, "run_dir": run_dir, "distribute": distribute, **CHANGES}
    return runs.start({"settings": settings | changes, **arguments}, **dict(environment))


def start_on_two_devices(images, run_dir):
    """A run that is killed within its second epoch."""
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    name = NAMES[BACKEND][0]
    return start(images, run_dir, name, flags, devices=2, kill_after=(1, 3))


def start_two_processes(images, run_dir):
    name, ports = NAMES[BACKEND][1], free_ports(2)
    for index in range(2):
        if BACKEND == "jax":
            hosts = {"num_processes": 2, "process_id": index}
            yield start(images, run_dir, name, coordinator_address=f"127.0.0.1:{ports[0]}", **hosts)
        else:
            cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
            task = {"type": "worker", "index": index}
            config = json.dumps({"cluster": cluster, "task": task})
            yield start(images, run_dir, name, {"TF_CONFIG": config})


@pytest.fixture(scope="module")
def finished(images, tiny_config, without_graphs, tmp_path_factory):
    """Folders of the runs on one device, on two devices and in two processes."""
    folders = {name: tmp_path_factory.mktemp(name) for name in ("one", "devices", "processes")}
    with contextlib.ExitStack() as stack:
        devices = start_on_two_devices(images, folders["devices"])
        stack.enter_context(runs.ended([devices]))
        train(runs.settings(images, folders["one"], distribute="none", **CHANGES))
        outputs = runs.outputs_of([devices])
        assert devices.returncode == -signal.SIGKILL, outputs
        workers = list(start_two_processes(images, folders["processes"]))
        stack.enter_context(runs.ended(workers))
        outputs = runs.outputs_of(workers)
        assert [process.returncode for process in workers] == [0, 0], outputs
    # Only the chief talks.
    assert "top-1" in outputs[0] and "2 processes" in outputs[0]
    assert "top-1" not in outputs[1] and "epoch" not in outputs[1]
    return folders


@several_devices
def test_two_processes_come_to_what_one_device_does(finished):
    runs.assert_same_run(finished["processes"], finished["one"])
    expected = sorted(path.name for path in finished["one"].rglob("*"))
    assert sorted(path.name for path in finished["processes"].rglob("*")) == expected


@several_devices
def test_two_devices_start_what_one_device_goes_on_with(finished, images, capsys):
    run_dir = finished["devices"]
    environment = json.loads((run_dir / "environment.json").read_text())
    assert "2 device(s)" in environment[-1]["devices"]
    train(runs.settings(images, run_dir, distribute="none", **CHANGES))
    assert "starting at epoch 1, step 2" in capsys.readouterr().err
    runs.assert_same_run(run_dir, finished["one"])


@pytest.mark.parametrize(
    ("name", "hosts", "message"),
    [
        ("cluster", Hosts(), "--distribute must be one of none, auto, .*, not 'cluster'"),
        *[
            (name, Hosts(), f"--distribute={name} needs {needed}, not the {BACKEND} backend: set ")
            for name, needed in (
                ("data_parallel", "jax"),
                ("mirrored", "tensorflow"),
                ("multi_worker", "tensorflow"),
            )
            if needed != BACKEND
        ],
        ("none", Hosts("host:1", 2, 0), "go with --distribute=data_parallel under JAX"),
    ],
)
def test_flags_that_cannot_be(name, hosts, message):
    assert name in (*DISTRIBUTIONS, "cluster")
    with pytest.raises(UserError, match=message) as error:
        create_distribution(name, hosts)
    assert "\n" not in str(error.value)


def test_other_backends_are_told_their_way_out():
    ways_out = {"tensorflow": "mirrored", "jax": "data_parallel"}
    other = "mirrored" if BACKEND == "jax" else "data_parallel"
    with pytest.raises(UserError) as error:
        create_distribution(other)
    instead = f", or use --distribute={ways_out[BACKEND]}" if BACKEND in ways_out else ""
    assert str(error.value).endswith(f"{instead}") and "KERAS_BACKEND=" in str(error.value)


@pytest.mark.parametrize("name", ["none", "auto"])
def test_one_device(name):
    distribution = create_distribution(name)
    assert str(distribution) == "one device"
    assert distribution.is_chief
    distribution.check_batch_size(7)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="TensorFlow reads TF_CONFIG")
@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("", "--distribute=multi_worker needs the environment variable TF_CONFIG, such as"),
        ("{", "TF_CONFIG must be JSON that names the workers"),
        ("[]", "TF_CONFIG must be JSON"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "ps", "index": 0}}', "names the work"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}', "TF_CONFIG"),
    ],
)
def test_bad_tf_config(monkeypatch, config, message):
    monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(UserError, match=message):
        create_distribution("multi_worker")


@pytest.mark.skipif(BACKEND != "tensorflow", reason="JAX ends such a process itself")
def test_a_worker_that_is_left_alone():
    import tensorflow as tf

    from care_keras.training.devices.tensorflow import MultiWorker

    worker = MultiWorker(types.SimpleNamespace(num_replicas_in_sync=2), 1, 2)
    with pytest.raises(UserError, match="another process of this run has ended"), worker.active():
        raise tf.errors.UnavailableError(None, None, "Collective ops is aborted")


@pytest.mark.skipif(BACKEND != "jax", reason="JAX's processes are described by flags")
@pytest.mark.parametrize(
    ("hosts", "message"),
    [
        (Hosts(num_processes=2, process_id=0), "needs --coordinator_address or KERAS_"),
        (Hosts("a:1", process_id=0), "needs --num_processes or KERAS_"),
        (Hosts("a:1", 2), "needs --process_id or KERAS_"),
        (Hosts("a:1", 2, 2), "--process_id=2 must be less than --num_processes=2"),
    ],
)
def test_bad_hosts(hosts, message):
    with pytest.raises(UserError, match=message):
        create_distribution("data_parallel", hosts)


def test_a_batch_that_cannot_be_divided():
    distribution = create_distribution("none")
    distribution.replicas = 4
    with pytest.raises(UserError, match="--batch_size=6 is for all 4 devices together"):
        distribution.check_batch_size(6)
