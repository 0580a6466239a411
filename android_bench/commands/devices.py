"""What the connected phones are: `python -m android_bench devices`."""

import dataclasses
import json

from absl import flags

from android_bench.phone.adb import AdbServer
from android_bench.phone.connection import Phone
from android_bench.phone.device import describe
from android_bench.phone.errors import PhoneError
from care_keras.console import cli
from care_keras.console.launched import as_typed
from care_keras.console.table import format_table

_PORT = flags.DEFINE_integer("adb_port", None, "Port of the adb server (default: adb's own).")
_JSON = flags.DEFINE_bool("json", False, "Print JSON instead of text.")


def main() -> None:
    """The command."""
    server = AdbServer(_PORT.value)
    listed = server.phones()
    if not listed:
        server.choose(None)
    devices = [describe(Phone(server, one.serial)) for one in listed if one.state == "device"]
    others = [one for one in listed if one.state != "device"]
    if _JSON.value:
        print(json.dumps([dataclasses.asdict(device) for device in devices], indent=2))
        return
    for device in devices:
        clusters = "; ".join(
            f"cores {', '.join(map(str, cores))}: {'unknown' if khz is None else f'{khz / 1e6:g}'}"
            " GHz"
            for khz, cores in device.clusters
        )
        rows = [
            ["phone", f"{device.manufacturer} {device.model}"],
            ["SoC", device.soc],
            ["Android", f"{device.android} (API {device.sdk}), {device.fingerprint}"],
            ["ABIs", ", ".join(device.abis)],
            ["cores", clusters],
            ["memory", None if device.memory_mib is None else f"{device.memory_mib:,} MiB"],
            ["GPU", device.gpu],
            ["thermal zones", ", ".join(device.thermal_zones.values()) or None],
        ]
        print(format_table([device.serial, ""], rows) + "\n")
    for one in others:
        print(as_typed(f"{one.serial}: {one.state}: see python -m android_bench doctor"))


def start() -> None:
    """Runs it as the program."""
    cli.run(main, input_errors=(PhoneError,))
