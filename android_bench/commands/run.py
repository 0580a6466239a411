"""Measures .tflite files on phones: `python -m android_bench run --model=a.tflite`.

Everything is written to --output as it is measured; `--resume` goes on with a
run that was broken off. Exit code 1 if a measurement or a verification failed.
"""

import dataclasses
import pathlib
import sys
import time
import uuid

from absl import flags

from android_bench.commands.verification_flags import verification
from android_bench.phone.errors import LockedError, NotReadyError, PhoneError, PhoneLostError
from android_bench.run.folder import WORK_FOLDER, check_folder
from android_bench.run.plan import DELEGATES, read_models
from care_keras.console import cli
from care_keras.console.launched import as_typed
from care_keras.console.progress import say

_MODEL = flags.DEFINE_multi_string("model", None, "A .tflite file; may be repeated.", required=True)
_OUTPUT = flags.DEFINE_string("output", "android_bench.jsonl", "File of the records.")
_RESUME = flags.DEFINE_bool("resume", False, "Do only what is missing in --output.")
_PORT = flags.DEFINE_integer("adb_port", None, "Port of the adb server (default: adb's own).")
_DEVICE = flags.DEFINE_string("device", None, "Serial number, or all (default: the only one).")
_BINARY = flags.DEFINE_string(
    "benchmark_binary",
    None,
    "benchmark_model for the phone, TensorFlow Lite's or LiteRT's own: it is asked (default: what "
    "Bazel built here).",
)
_URL = flags.DEFINE_string("benchmark_url", None, "Where to download benchmark_model.")
_SHA256 = flags.DEFINE_string("benchmark_sha256", None, "SHA-256 that the download must have.")
_DELEGATE = flags.DEFINE_multi_enum(
    "delegate",
    ["xnnpack"],
    DELEGATES,
    "What runs the graph; may be repeated. cpu: TFLite's own kernels. TensorFlow Lite's "
    "benchmark_model has all but npu, LiteRT's has xnnpack, gpu and npu.",
)
_THREADS = flags.DEFINE_multi_integer("threads", [1], "Threads; may be repeated.", lower_bound=1)
_CORES = flags.DEFINE_multi_string(
    "cores",
    ["big"],
    "Cores to run on: big (all but the slowest cluster), little, prime (the fastest cluster), all, "
    "or numbers as in 4-6; may be repeated.",
)
_ROUNDS = flags.DEFINE_integer("rounds", 5, "Rounds that measure everything once.", lower_bound=1)
_RUNS = flags.DEFINE_integer("runs", 50, "Inferences in a round, at least.", lower_bound=1)
_SECONDS = flags.DEFINE_float("seconds", 1.0, "Seconds of a round, at least.", lower_bound=0)
_WARMUP = flags.DEFINE_float("warmup_seconds", 0.5, "Seconds before a round.", lower_bound=0)
_SINGLE = flags.DEFINE_integer(
    "percentile_runs",
    36,
    "Further inferences of a round, timed one by one for the 90th and 99th percentile, three in a "
    "process (0: none).",
    lower_bound=0,
)
_SINGLE_SECONDS = flags.DEFINE_float(
    "percentile_seconds", 15.0, "Seconds of these in a round, at most.", lower_bound=1
)
_TIMEOUT = flags.DEFINE_float("timeout", 300.0, "Seconds after which a run is ended.", 1.0)
_CELSIUS = flags.DEFINE_float("max_temperature", 45.0, "Start only below so many °C.")
_BATTERY = flags.DEFINE_integer("min_battery", 25, "Start only above so many percent.", 0, 100)
_WAIT = flags.DEFINE_float("max_wait", 900.0, "Seconds to wait for both.", lower_bound=0)
_POLL = flags.DEFINE_float("poll", 5.0, "Seconds between two looks.", lower_bound=0.01)
_COOLDOWN = flags.DEFINE_float("cooldown", 2.0, "Seconds of rest after a run.", lower_bound=0)
_RECONNECT = flags.DEFINE_float("reconnect", 120.0, "Seconds to wait for a phone that was lost.")
_PARTIAL = flags.DEFINE_list(
    "allow_partial", ["xnnpack"], "Delegates that may take only a part of a graph."
)
_FALLBACK = flags.DEFINE_bool(
    "allow_fallback", False, "Whether a delegate may take nothing, so that the CPU runs the graph."
)
_ACCELERATOR = flags.DEFINE_string(
    "nnapi_accelerator", None, "NNAPI's name of the accelerator for nnapi (default: its choice)."
)
_NPU = flags.DEFINE_multi_string(
    "npu_library",
    [],
    "Library for npu, or a folder of them; may be repeated: the vendor's libLiteRtDispatch_*.so, "
    "its libLiteRtCompilerPlugin_*.so for files that are compiled on the phone, what they load.",
)
_EXTERNAL = flags.DEFINE_string("external_delegate", None, "Library (.so) of the external one.")
_EXTERNAL_OPTIONS = flags.DEFINE_string("external_options", None, "key:value,... for it.")
_PROFILE = flags.DEFINE_bool("profile", False, "Measure the time of each operation at the end.")
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the order.")
_FOLDER = flags.DEFINE_string("work_folder", WORK_FOLDER, "Folder on the phone.")
_KEEP = flags.DEFINE_bool("keep", False, "Leave the folder on the phone.")


NNAPI_NOTE = (
    "note: Android 15 deprecated NNAPI; the way to an NPU is --delegate=npu, with LiteRT's "
    "benchmark_model"
)


def main() -> None:
    """The command."""
    check_folder(_FOLDER.value)
    models = read_models(_MODEL.value)
    # Flags and files are looked at before what takes half a second to load.
    from android_bench.phone.adb import AdbServer
    from android_bench.phone.connection import Phone
    from android_bench.phone.device import describe
    from android_bench.run.head import head, open_file
    from android_bench.run.request import check_request

    request = _request(models)
    server = AdbServer(_PORT.value)
    phones = [Phone(server, serial) for serial in server.choose(_DEVICE.value)]
    devices = [describe(phone) for phone in phones]
    for device in devices:
        check_request(device, request)
    name = uuid.uuid4().hex
    request = dataclasses.replace(request, program=_ask(phones[0], devices[0], request, name))
    for device in devices:
        check_request(device, request)
    if "nnapi" in request.delegates:
        print(NNAPI_NOTE, file=sys.stderr)
    output = pathlib.Path(_OUTPUT.value)
    file, done = open_file(output, _RESUME.value, head(request))
    problems = []
    with file:
        for phone, device in zip(phones, devices, strict=True):
            problems += _measure(phone, device, request, file, done, name)
    print(f"records in {output}; {as_typed('python -m android_bench')} report {output}")
    if problems:
        raise cli.CheckError("; ".join(problems))


def _ask(phone, device, request, name):
    """What benchmark_model is; not while another run measures on the phone."""
    from android_bench.phone.lock import patient_lock
    from android_bench.run.identify import ask_on_phone
    from android_bench.run.prepare import LOCK

    try:
        with patient_lock(phone, LOCK, name, request.reconnect_seconds, time.sleep):
            program = ask_on_phone(phone, request.luggage.binary, device.abis)
    except (LockedError, PhoneLostError) as error:
        raise cli.CheckError(f"{phone.serial}: {error}") from error
    say(f"{request.luggage.binary}: {program.describe()}")
    return program


def _measure(phone, device, request, file, done, name):
    """Measures on one phone; what went wrong, in words."""
    say(f"{phone.serial}: {device.manufacturer} {device.model}, Android {device.android}")
    from android_bench.run.session import Session

    session = Session(phone, device, request, file, done, say, name=name)
    file.append("device", serial=phone.serial, device=dataclasses.asdict(device))
    try:
        failed = session.run()
    except (NotReadyError, PhoneLostError) as error:
        return [f"{phone.serial}: {error}; --resume goes on from here"]
    except (PhoneError, ValueError) as error:
        return [f"{phone.serial}: {error}"]
    return [f"{phone.serial}: {failed} failed, see the records"] if failed else []


def _request(models):
    from android_bench.phone.readiness import Limits
    from android_bench.run.binary import find_binary
    from android_bench.run.delegation import DelegateOptions
    from android_bench.run.npu import find_libraries
    from android_bench.run.one_cell import RunLength
    from android_bench.run.prepare import Luggage
    from android_bench.run.request import Request

    unknown = set(_PARTIAL.value) - set(DELEGATES)
    if unknown:
        raise ValueError(f"There is no such delegate. Received: --allow_partial={min(unknown)}")
    libraries = find_libraries(_NPU.value)
    external = None if _EXTERNAL.value is None else pathlib.Path(_EXTERNAL.value)
    if external is not None and not external.is_file():
        raise ValueError(f"There is no such file. Received: --external_delegate={external}")
    return Request(
        luggage=Luggage(
            folder=_FOLDER.value,
            binary=find_binary(_BINARY.value, _URL.value, _SHA256.value),
            models=models,
            external=external,
            npu=libraries,
            options=DelegateOptions(
                nnapi_accelerator=_ACCELERATOR.value, external_options=_EXTERNAL_OPTIONS.value
            ),
        ),
        delegates=_DELEGATE.value,
        threads=_THREADS.value,
        cores=_CORES.value,
        rounds=_ROUNDS.value,
        seed=_SEED.value,
        length=RunLength(
            runs=_RUNS.value,
            seconds=_SECONDS.value,
            warmup_seconds=_WARMUP.value,
            single_runs=_SINGLE.value,
            single_seconds=_SINGLE_SECONDS.value,
            timeout_seconds=_TIMEOUT.value,
        ),
        limits=Limits(_CELSIUS.value, _BATTERY.value, _WAIT.value, _POLL.value),
        cooldown_seconds=_COOLDOWN.value,
        partial=frozenset(_PARTIAL.value),
        fallback_allowed=_FALLBACK.value,
        keep=_KEEP.value,
        reconnect_seconds=_RECONNECT.value,
        verification=verification(models),
        profile=_PROFILE.value,
    )


def start() -> None:
    """Runs it as the program."""
    cli.run(main, input_errors=(ValueError, OSError, PhoneError))
