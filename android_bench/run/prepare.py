"""Making a phone ready for a run, and leaving it as it was."""

import contextlib
import dataclasses
import hashlib
import pathlib
from collections.abc import Callable, Sequence

from android_bench.phone.connection import Phone
from android_bench.phone.device import Device, mask_of, parse_numbers
from android_bench.phone.errors import CommandError, PhoneError
from android_bench.run.binary import check_abi
from android_bench.run.delegation import DelegateOptions
from android_bench.run.folder import check_folder
from android_bench.run.npu import has_compiler
from android_bench.run.one_cell import Tools, end_processes
from android_bench.run.plan import Model
from tflite.benchmark_tool.family import Program

LOCK = "/data/local/tmp/.care_keras_bench.lock"
_STAY_ON = "stay_on_while_plugged_in"


@dataclasses.dataclass(frozen=True)
class Luggage:
    """What is brought to a phone.

    Attributes:
        folder: Work folder on the phone.
        binary: benchmark_model.
        models: Files to measure.
        external: Library of the external delegate, or `None`.
        npu: Libraries of the delegate `npu`.
        options: What delegates need.
    """

    folder: str
    binary: pathlib.Path
    models: Sequence[Model]
    external: pathlib.Path | None = None
    npu: Sequence[pathlib.Path] = ()
    options: DelegateOptions = dataclasses.field(default_factory=DelegateOptions)


def bring(
    phone: Phone, luggage: Luggage, program: Program, cores: dict[str, tuple[int, ...]]
) -> Tools:
    """Pushes what the phone lacks, by checksum, and looks whether pinning to cores works.

    Args:
        phone: The phone.
        luggage: What to bring.
        program: What benchmark_model is.
        cores: Numbers of the cores of each group.

    Raises:
        PhoneError: If something cannot be brought, or a group of cores not be used.
    """
    folder = luggage.folder
    phone.check(["mkdir", "-p", folder])
    end_processes(phone, folder)
    binary = f"{folder}/benchmark_model"
    phone.push_if_different(luggage.binary, binary, 0o755)
    options = luggage.options
    if luggage.external is not None:
        path = f"{folder}/external_delegate.so"
        phone.push_if_different(luggage.external, path)
        options = dataclasses.replace(options, external_path=path)
    if luggage.npu:
        libraries = f"{folder}/npu"
        phone.check(["mkdir", "-p", libraries])
        for path in luggage.npu:
            phone.push_if_different(path, f"{libraries}/{path.name}")
        options = dataclasses.replace(
            options, npu_folder=libraries, npu_compiles=has_compiler(luggage.npu)
        )
    for numbers in set(cores.values()):
        check_pinning(phone, numbers)
    models = {model.sha256: f"{folder}/{model.sha256[:16]}.tflite" for model in luggage.models}
    return Tools(folder, binary, program, models, options, cores)


def bring_model(phone: Phone, model: Model, tools: Tools) -> bool:
    """Pushes a model unless the phone has it; whether it was pushed."""
    content = model.path.read_bytes()
    if hashlib.sha256(content).hexdigest() != model.sha256:
        raise ValueError(f"The model has changed since the run began. Received: {model.path}")
    return phone.push_if_different(content, tools.models[model.sha256])


def check_pinning(phone: Phone, cores: tuple[int, ...]) -> None:
    """Looks whether a program runs on the cores it is pinned to, and on no others.

    Raises:
        CommandError: If the phone does not let it.
    """
    finished = phone.shell(
        ["taskset", mask_of(cores), "grep", "-sH", "Cpus_allowed_list", "/proc/self/status"]
    )
    allowed = finished.stdout.strip().rpartition(":")[2].strip()
    try:
        pinned = not finished.exit_code and parse_numbers(allowed) == cores
    except ValueError:
        pinned = False
    if not pinned:
        wanted = ",".join(map(str, cores))
        raise CommandError(
            f"{phone.serial} does not run programs on the cores {wanted} as asked "
            f"(allowed: {allowed or finished.stderr.strip() or 'unknown'}): measure with another "
            "--cores"
        )


@contextlib.contextmanager
def awake(phone: Phone, say: Callable[[str], None], before: str | None = None):
    """Wakes the screen and keeps it on while powered; afterwards the setting is as before.

    A sleeping phone parks its fast cores.

    Args:
        phone: The phone.
        say: Takes lines for the user.
        before: The setting, where it is known: a phone that was lost has the run's own.

    Yields:
        The setting of before.
    """
    if before is None:
        before = phone.shell(["settings", "get", "global", _STAY_ON]).stdout.strip()
    phone.shell(["input", "keyevent", "KEYCODE_WAKEUP"])
    phone.shell(["svc", "power", "stayon", "true"])
    try:
        yield before
    finally:
        put_back(phone, say, before)


def put_back(phone: Phone, say: Callable[[str], None], before: str) -> None:
    """Gives the screen the setting of before; says so if it cannot."""
    value = before if before.isdecimal() else "0"
    try:
        phone.shell(["settings", "put", "global", _STAY_ON, value])
    except PhoneError as error:
        say(f"the screen's setting could not be put back to {value}: {error}")


def clean_up(phone: Phone, folder: str, say: Callable[[str], None]) -> None:
    """Removes the work folder; says so if it cannot."""
    check_folder(folder)
    try:
        end_processes(phone, folder)
        phone.check(["rm", "-rf", folder])
    except PhoneError as error:
        say(f"{folder} is left on the phone: {error}")


def check_binary(luggage: Luggage, device: Device) -> str:
    """The ABI of benchmark_model, if the phone runs it; `BinaryError` if not."""
    return check_abi(luggage.binary, device.abis)
