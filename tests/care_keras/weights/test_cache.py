"""Published weights as they are fetched, kept and refused; over the loopback interface."""

import hashlib
import io
import json
import os
import signal
import stat

import keras
import numpy as np
import pytest

from care_keras.console import optional
from care_keras.download import Limits
from care_keras.models.keras_file import load_keras_file
from care_keras.weights.cache import fetch
from care_keras.weights.published import PUBLISHED
from tests.processes import finish, full_disk, start
from tests.published_weights import TINY, fetch_from, saved
from tests.web_server import Answer, serve

# Processes that download what is no model: that it is imported is looked at elsewhere.
FETCH = """
import shutil, sys
from care_keras.weights import cache
from care_keras.weights.published import Published
cache.import_checkpoint = lambda arch, checkpoint, output: shutil.copy(checkpoint, output)
print("begun", flush=True)
print(cache.fetch(Published(*sys.argv[1:4], 0.5)))
"""


@pytest.fixture
def home(server, tmp_path, monkeypatch):
    """Keras's cache, and the address of the server instead of the authors'."""
    pytest.importorskip("torch", reason="PyTorch not installed")
    server.answers.clear()
    server.requests.clear()
    fetch_from(monkeypatch, f"{server.url}/files/", tmp_path / "keras")
    return tmp_path / "keras" / "models"


@pytest.fixture
def checkpoint(state_dict):
    """The bytes of a checkpoint of the tiny model."""
    return saved(state_dict)


@pytest.fixture
def publish(server):
    def publish(answer):
        answer = Answer(answer) if isinstance(answer, bytes) else answer
        server.answers[f"/files/{TINY.file}"] = answer

    return publish


def files_of(home):
    """Those that are left, but for the lock."""
    return sorted(path.name for path in home.iterdir() if path.suffix != ".lock")


def assert_refused(home, expected, limits=None):
    """One line that says the way out, and no file that was not there."""
    before = files_of(home) if home.exists() else []
    with pytest.raises(ValueError, match=expected) as error:
        fetch(TINY, limits)
    text = str(error.value)
    assert "\n" not in text and len(text) < 900
    assert ". Received: " in text
    assert files_of(home) == before
    return text


@pytest.mark.every_backend
def test_the_first_use_downloads_and_imports(home, publish, server, checkpoint, tiny_model):
    publish(checkpoint)
    path = fetch(TINY)
    assert path == home / "care_tiny_imagenet.keras"
    model = load_keras_file(path)
    assert model.classes == 7 and model.preprocessing == tiny_model.preprocessing
    assert model.classifier_activation is keras.activations.linear
    record = json.loads((home / "care_tiny_imagenet.json").read_text())
    assert record["sha256"] == hashlib.sha256(checkpoint).hexdigest()
    assert record["size_bytes"] == len(checkpoint)
    assert record["url"] == f"{server.url}/files/CARETrans_T.pth.tar"
    assert files_of(home) == ["care_tiny_imagenet.json", "care_tiny_imagenet.keras"]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


@pytest.mark.every_backend
def test_the_second_use_asks_nobody(home, publish, server, checkpoint, monkeypatch):
    publish(checkpoint)
    path = fetch(TINY)
    monkeypatch.setattr(optional, "require_installed", None)  # Nor is a reader needed.
    monkeypatch.setenv("CARE_KERAS_WEIGHTS_URL", "https://example.invalid")
    assert fetch(TINY) == path
    assert len(server.requests) == 1


@pytest.mark.every_backend
def test_the_weights_are_those_of_the_checkpoint(home, publish, checkpoint, state_dict):
    publish(checkpoint)
    with_policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = load_keras_file(fetch(TINY))
    finally:
        keras.config.set_dtype_policy(with_policy)
    assert {weight.dtype for weight in model.weights} == {"float32"}
    assert model.compute_dtype == "float32"
    kernel = keras.ops.convert_to_numpy(model.backbone.get_layer("stem_conv").kernel)
    np.testing.assert_array_equal(kernel, state_dict["stem.0.weight"].transpose(2, 3, 1, 0))


def test_safetensors_at_the_address_of_a_file(
    home, server, state_dict, safetensors_file, monkeypatch
):
    content = safetensors_file(state_dict).read_bytes()
    server.answers["/any/name.safetensors?token=abc"] = Answer(content)
    monkeypatch.setenv("CARE_KERAS_WEIGHTS_URL", f"{server.url}/any/name.safetensors?token=abc")
    assert load_keras_file(fetch(TINY)).classes == 7
    # A token in the address is nobody else's.
    assert "abc" not in (home / "care_tiny_imagenet.json").read_text()


def test_another_checkpoint_than_at_first_use_is_refused(home, publish, checkpoint, state_dict):
    publish(checkpoint)
    path = fetch(TINY)
    path.unlink()
    other = saved(state_dict | {"stem.0.bias": state_dict["stem.0.bias"] + 1})
    publish(other)
    text = assert_refused(home, "is another than at first use")
    for content in (checkpoint, other):
        assert hashlib.sha256(content).hexdigest() in text
    record = home / "care_tiny_imagenet.json"
    assert f"remove {record}" in text
    publish(checkpoint)
    assert fetch(TINY).exists()  # The one that is known is taken as before.
    path.unlink()
    record.unlink()
    publish(other)
    assert fetch(TINY).exists()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"sha256": 5}'])
def test_a_damaged_record_trusts_nobody(home, publish, content):
    publish(b"anything")
    home.mkdir(parents=True)
    (home / "care_tiny_imagenet.json").write_text(content)
    assert_refused(home, "record of the weights' first use is damaged: remove it")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda c: Answer(c, length=len(c) + 9), r"cannot be fetched, it ended after [\d,]+ of"),
        (lambda c: Answer(c[:-3000], length=0), "is no checkpoint of .*: The file is no PyTorch"),
        (lambda c: Answer(b"no pickle"), "is no checkpoint of care_tiny_imagenet: The file is"),
        (lambda c: Answer(b"\n<!doctype html>Sign in"), "fetched, a web page came instead"),
        (lambda c: Answer(status=404), "cannot be fetched, the server answered 404 Not Found: set"),
        (lambda c: Answer(b""), "is no checkpoint of care_tiny_imagenet: The file is"),
    ],
)
def test_what_is_no_whole_checkpoint(home, publish, checkpoint, change, expected):
    publish(change(checkpoint))
    text = assert_refused(home, expected)
    assert "set CARE_KERAS_WEIGHTS_URL to the folder where CARETrans_T.pth.tar lies" in text
    assert "python -m care_keras.weights --model=tiny" in text


def test_a_checkpoint_of_another_model(home, publish, tiny, weights_rule):
    shapes = weights_rule.state_dict_shapes("s0")
    publish(saved({name: np.zeros(shape, "float32") for name, shape in shapes.items()}))
    text = assert_refused(home, r"is no checkpoint of care_tiny_imagenet: \d+ entries do not fit")
    assert " ...; set CARE_KERAS_WEIGHTS_URL" in text  # Not all of them are listed.


class Malicious:
    """Unpickling it runs a command, unless the reader refuses."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return os.system, (f"touch {self.file}",)


def test_nothing_in_it_is_executed(home, publish, tiny, tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch not installed")
    stream, mark = io.BytesIO(), tmp_path / "executed"
    torch.save({"stem": Malicious(mark)}, stream)
    publish(stream.getvalue())
    assert_refused(home, "holds posix.system, which is not data")
    assert not mark.exists()


def test_limits(home, publish, server):
    publish(bytes(200_000))
    assert_refused(home, "it has 0 MB, and 0 MB are the most", Limits(max_bytes=100_000))
    publish(Answer(bytes(200_000), pause=lambda sent: server.closing.wait(20) if sent else None))
    assert_refused(home, r"nothing came for 0\.3 s", Limits(stall_seconds=0.3))


def test_no_network(home, monkeypatch):
    with serve({}) as gone:
        pass
    monkeypatch.setenv("CARE_KERAS_WEIGHTS_URL", gone.url)
    assert_refused(home, "cannot be fetched, Connection refused: set CARE_KERAS_WEIGHTS_URL to")
    monkeypatch.setenv("CARE_KERAS_WEIGHTS_URL", "http://user:secret@example.com/?token=secret")
    text = assert_refused(home, "only https addresses are fetched")
    assert "secret" not in text
    monkeypatch.setenv("CARE_KERAS_WEIGHTS_URL", "https://[::1")
    assert_refused(home, "CARE_KERAS_WEIGHTS_URL is no address")


def test_what_reads_it_is_asked_for_before_the_download(home, publish, server, monkeypatch):
    publish(b"anything")
    monkeypatch.setattr(optional.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(optional.MissingDependencyError, match=r"torch is .*\[torch\]'"):
        fetch(TINY)
    assert not server.requests


def test_a_cache_that_cannot_be_written_to(home, publish, tmp_path):
    publish(b"anything")
    (tmp_path / "keras").write_text("no folder")
    with pytest.raises(ValueError, match="which the variable KERAS_HOME moves: .*Received: "):
        fetch(TINY)


def test_a_full_disk(home, publish):
    publish(bytes(200_000))
    with full_disk():
        assert_refused(home, "cannot be kept in Keras's cache, .*: File too large")


def start_fetch():
    return start(FETCH, TINY.name, TINY.arch, TINY.file)


def test_of_two_processes_one_downloads(home, publish, server):
    content = os.urandom(1 << 20)
    publish(Answer(content, pause=lambda sent: server.closing.wait(0.1)))
    processes = [start_fetch(), start_fetch()]
    for process in processes:
        assert finish(process).splitlines() == ["begun", str(home / "care_tiny_imagenet.keras")]
    assert len(server.requests) == 1
    assert (home / "care_tiny_imagenet.keras").read_bytes() == content
    assert files_of(home) == ["care_tiny_imagenet.json", "care_tiny_imagenet.keras"]


def test_a_killed_download_leaves_nothing_that_is_taken_for_whole(home, publish, server):
    content = os.urandom(1 << 20)
    reached = []
    publish(Answer(content, pause=lambda sent: reached.append(sent) or server.closing.wait(0.1)))
    with start_fetch() as process:
        assert process.stdout.readline() == "begun\n", process.stderr.read()
        while len(reached) < 5:
            assert process.poll() is None, process.stderr.read()
            server.closing.wait(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not [name for name in files_of(home) if not name.startswith(".care_tiny_imagenet-")]
    publish(content)
    finish(start_fetch())
    assert files_of(home) == ["care_tiny_imagenet.json", "care_tiny_imagenet.keras"]


def test_the_authors_addresses(monkeypatch):
    monkeypatch.delenv("CARE_KERAS_WEIGHTS_URL", raising=False)
    folder = "https://huggingface.co/YuanZ1995/CARE-Transformer/resolve/main/"
    assert PUBLISHED["care_s0_imagenet"].url == f"{folder}CARETrans_S0.pth.tar"
    monkeypatch.setenv("CARE_KERAS_WEIGHTS_URL", "https://example.com/a?download=true")
    assert PUBLISHED["care_s2_imagenet"].url == (
        "https://example.com/a/CARETrans_S2.pth.tar?download=true"
    )
