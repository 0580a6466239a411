"""Which of the two benchmark_models a program is: it is asked, on the phone."""

import contextlib
import pathlib
import uuid

from android_bench.phone.connection import Phone
from android_bench.phone.errors import BinaryError, PhoneError
from android_bench.run.binary import check_abi
from tflite.benchmark_tool.family import HELP_SECONDS, Program, identify
from tflite.child.program import last_line


def ask_on_phone(phone: Phone, binary: pathlib.Path, abis: tuple[str, ...]) -> Program:
    """Pushes a program under a name of its own, asks it for its help, and removes it.

    Args:
        phone: The phone.
        binary: The program.
        abis: ABIs of the phone.

    Raises:
        BinaryError: If it is for another ABI, does not run there, or is no benchmark_model.
        PhoneError: If the phone is lost on the way.
    """
    check_abi(binary, abis)
    path = f"/data/local/tmp/care_keras_ask_{uuid.uuid4().hex}"
    try:
        phone.push(binary, path, 0o755)
        finished = phone.shell([path, "--help"], HELP_SECONDS)
    finally:
        with contextlib.suppress(PhoneError):
            phone.shell(["rm", "-f", path])
    # Of a shell: what is there cannot be run, or is not there. The programs end with 0 or 1.
    if finished.signal_name or finished.exit_code in (126, 127):
        raise BinaryError(
            f"{binary} does not run on {phone.serial}: it {finished.ending} "
            f"({last_line(finished.output)})"
        )
    try:
        return identify(finished.output)
    except ValueError as error:
        raise BinaryError(f"{binary}: {error}") from error
