"""Which program a phone is given: the fake one has both."""

import pytest

from android_bench.phone.errors import BinaryError
from android_bench.run.identify import ask_on_phone
from tests.android_bench.stand_in_benchmark_model import elf_bytes

ABIS = ("arm64-v8a",)


def test_both_programs_say_what_they_are(phone, fake, stand_in_binary, litert_binary):
    assert ask_on_phone(phone, stand_in_binary, ABIS).family.key == "tensorflow"
    program = ask_on_phone(phone, litert_binary, ABIS)
    assert (program.family.key, program.release) == ("litert", "2.2.0 or newer")
    # Their names are one; and nothing is left, nor counted as a run.
    assert stand_in_binary.name == litert_binary.name
    assert list(fake.path("/data/local/tmp").iterdir()) == [] and fake.runs == []


def test_a_program_for_another_processor_is_not_pushed(phone, fake, tmp_path):
    binary = tmp_path / "benchmark_model"
    for content, words in (
        (elf_bytes("x86_64", "litert"), "is for x86_64, the phone takes arm64-v8a"),
        (b"#!/bin/sh\n", "no ELF header"),
    ):
        binary.write_bytes(content)
        with pytest.raises(BinaryError, match=words):
            ask_on_phone(phone, binary, ABIS)
    assert fake.pushed == []


@pytest.mark.parametrize(
    ("faults", "words"),
    [
        ({"not_executable": True}, "does not run on .*exit code 126 .*Permission denied"),
        ({"help_exit_code": 132}, "does not run on .*was ended by SIGILL"),
        (
            {"help_output": lambda text: "CANNOT LINK EXECUTABLE: libLiteRt.so not found\n"},
            "neither TensorFlow Lite's nor LiteRT's. Received: 'CANNOT LINK .* not found'",
        ),
        ({"help_output": lambda text: ""}, "Received: no output"),
    ],
)
def test_programs_that_do_not_say(phone, fake, litert_binary, faults, words):
    for name, value in faults.items():
        setattr(fake.faults, name, value)
    with pytest.raises(BinaryError, match=words) as caught:
        ask_on_phone(phone, litert_binary, ABIS)
    assert "\n" not in str(caught.value)
    assert list(fake.path("/data/local/tmp").iterdir()) == []
