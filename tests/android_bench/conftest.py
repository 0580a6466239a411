"""An adb server of the tests' own, and phones for it."""

import os
import pathlib
import socket
import subprocess

import pytest


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture(scope="session")
def adb_environment(tmp_path_factory):
    """An environment in which adb and adbutils touch nothing of the user's."""
    adbutils = pytest.importorskip("adbutils")
    home = tmp_path_factory.mktemp("adb")
    environment = {
        **os.environ,
        "HOME": str(home),
        "TMPDIR": str(home),
        # No look-out for phones over USB, in the network, or emulators of this machine.
        "ADB_USB": "0",
        "ADB_MDNS": "0",
        "ADB_LOCAL_TRANSPORT_MAX_PORT": "5554",
        "ANDROID_ADB_SERVER_PORT": str(free_port()),
    }
    program = [adbutils.adb_path(), "-P", environment["ANDROID_ADB_SERVER_PORT"]]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "timeout": 60}
    subprocess.run([*program, "start-server"], env=environment, check=True, **quiet)
    yield environment
    subprocess.run([*program, "kill-server"], env=environment, **quiet)


@pytest.fixture
def server(adb_environment, monkeypatch):
    from android_bench.phone.adb import AdbServer

    monkeypatch.delenv("ANDROID_SERIAL", raising=False)
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", adb_environment["ANDROID_ADB_SERVER_PORT"])
    return AdbServer()


@pytest.fixture
def make_phone(server, tmp_path_factory):
    """Makes connected fake phones; at the end, no command may have been unquoted."""
    from tests.android_bench.fake_phone import FakePhone

    phones = []

    def make(connect: bool = True, **options) -> FakePhone:
        folder = tmp_path_factory.mktemp("phone") / "root"
        phones.append(FakePhone(folder, **options))
        if connect:
            server.connect(phones[-1].serial)
        return phones[-1]

    yield make
    for phone in phones:
        phone.stop()
        server.client.disconnect(phone.serial)
        assert phone.violations == []


@pytest.fixture
def fake(make_phone):
    return make_phone()


@pytest.fixture
def phone(server, fake):
    from android_bench.phone.connection import Phone

    return Phone(server, fake.serial)


@pytest.fixture(scope="session")
def stand_in_binary(tmp_path_factory) -> pathlib.Path:
    """A file to be given as benchmark_model; the fake phone runs the stand-in for it."""
    from tests.android_bench.stand_in_benchmark_model import elf_bytes

    path = tmp_path_factory.mktemp("binary") / "benchmark_model"
    path.write_bytes(elf_bytes("arm64-v8a"))
    return path


@pytest.fixture(scope="session")
def litert_binary(tmp_path_factory) -> pathlib.Path:
    """The same for LiteRT's own benchmark_model."""
    from tests.android_bench.stand_in_benchmark_model import elf_bytes

    path = tmp_path_factory.mktemp("binary") / "benchmark_model"
    path.write_bytes(elf_bytes("arm64-v8a", "litert"))
    return path


@pytest.fixture(scope="session")
def tiny_file(tmp_path_factory) -> pathlib.Path:
    """Two convolutions, of a name that a shell would choke on."""
    from tests.tflite.tiny_models import tiny_model

    path = tmp_path_factory.mktemp("models") / "it's ä; $(reboot) model.tflite"
    path.write_bytes(tiny_model("conv"))
    return path


@pytest.fixture(scope="session")
def mixed_file(tmp_path_factory) -> pathlib.Path:
    """A graph of which XNNPACK takes a part."""
    from tests.tflite.tiny_models import tiny_model

    path = tmp_path_factory.mktemp("models") / "mixed.tflite"
    path.write_bytes(tiny_model("mixed"))
    return path


@pytest.fixture(scope="session")
def nano_files(tmp_path_factory) -> dict[str, pathlib.Path]:
    """The bundled model in float32 and in int8, with their descriptions."""
    import keras

    if keras.backend.backend() != "tensorflow":
        pytest.skip("only the TensorFlow backend makes a .tflite")
    from care_keras.convert.job import ConversionJob
    from care_keras.convert.run import run_job

    folder = tmp_path_factory.mktemp("nano")
    files = {"float32": folder / "nano.tflite", "int8": folder / "nano_int8.tflite"}
    run_job(
        ConversionJob("care_nano_cifar10", files["float32"], "float32", "float", check_samples=64)
    )
    run_job(
        ConversionJob("care_nano_cifar10_qat", files["int8"], "int8", "rgb_uint8", check_samples=64)
    )
    return files
