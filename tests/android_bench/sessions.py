"""Sessions on a fake phone, short enough for tests."""

import dataclasses
import pathlib

from android_bench.phone.device import describe
from android_bench.phone.readiness import Limits
from android_bench.records import RecordFile
from android_bench.run.folder import WORK_FOLDER
from android_bench.run.head import head, open_file
from android_bench.run.one_cell import RunLength
from android_bench.run.plan import order, read_models
from android_bench.run.prepare import Luggage
from android_bench.run.request import Request
from android_bench.run.session import Session
from tests.android_bench.stand_in_benchmark_model import HELP, MARKS
from tests.tflite.litert_program import help_outputs
from tflite.benchmark_tool.family import identify

TENSORFLOW = identify(HELP.read_text() + "--use_gpu=false\n--use_nnapi=false\n")
LITERT = identify("".join(help_outputs()))


def make_request(models, binary: pathlib.Path, folder: str = WORK_FOLDER, **changes) -> Request:
    # As it says of itself, a build for a phone: with delegates that the stand-in lacks.
    program = LITERT if binary.read_bytes().endswith(MARKS["litert"]) else TENSORFLOW
    request = Request(
        program=program,
        luggage=Luggage(folder, binary, read_models([str(model) for model in models])),
        rounds=1,
        length=RunLength(runs=3, seconds=0, warmup_seconds=0, single_runs=0, timeout_seconds=20),
        limits=Limits(wait_seconds=20, poll_seconds=0.05),
        cooldown_seconds=0,
        reconnect_seconds=20,
    )
    return dataclasses.replace(request, **changes)


def make_session(phone, request, path, lines, resume=False) -> tuple[Session, RecordFile]:
    file, done = open_file(path, resume, head(request))
    device = describe(phone)
    file.append("device", serial=phone.serial, device=dataclasses.asdict(device))
    return Session(phone, device, request, file, done, lines.append), file


def run_session(phone, request, path, resume=False, timed=True) -> tuple[int, list[str]]:
    """Failures, and what was said; without `timed` only what goes around measurements."""
    lines: list[str] = []
    session, file = make_session(phone, request, path, lines, resume)
    if not timed:
        session.done |= {session._key(job) for job in order(session.cells, request.rounds, 0)}
    with file:
        return session.run(), lines
