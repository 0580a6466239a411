"""What core a program runs on: `core_id.py` prints MIDR_EL1 as a number.

Imports the standard library alone, so that it starts quickly under emulation.
"""

import ctypes
import mmap
import struct


def main_id_register() -> int:
    """MIDR_EL1 of the ARM64 core this runs on: who made it, which part, which revision.

    Source: Arm Architecture Reference Manual for A-profile, "MIDR_EL1, Main ID
    Register"; that programs may read it: Linux kernel documentation, "ARM64 CPU
    Feature Registers".
    """
    read_it_and_return = struct.pack("<2I", 0xD5380000, 0xD65F03C0)  # mrs x0, midr_el1; ret
    access = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
    with mmap.mmap(-1, mmap.PAGESIZE, prot=access) as page:
        page.write(read_it_and_return)
        first_byte = ctypes.c_char.from_buffer(page)
        value = ctypes.CFUNCTYPE(ctypes.c_uint64)(ctypes.addressof(first_byte))()
        del first_byte  # A page that is referred to cannot be closed.
    return value


def cpuinfo(main_id: int, count: int) -> str:
    """What `/proc/cpuinfo` of a machine with `count` such cores says of them."""
    description = (
        f"CPU implementer\t: 0x{main_id >> 24 & 0xFF:02x}\n"
        "CPU architecture: 8\n"
        f"CPU variant\t: 0x{main_id >> 20 & 0xF:x}\n"
        f"CPU part\t: 0x{main_id >> 4 & 0xFFF:03x}\n"
        f"CPU revision\t: {main_id & 0xF}\n"
    )
    return "".join(f"processor\t: {index}\n{description}\n" for index in range(count))


if __name__ == "__main__":
    print(main_id_register())
