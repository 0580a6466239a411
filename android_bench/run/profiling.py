"""Time per operation, in runs of their own: profiling makes inferences slower."""

import dataclasses
import functools

from android_bench.phone.errors import NotReadyError, PhoneError
from android_bench.records import of_kind
from android_bench.run.one_cell import Tools
from android_bench.run.plan import Cell

_FLAGS = ["--num_runs=20", "--min_secs=0", "--warmup_runs=2"]


def profile_tasks(session) -> list:
    """A task for each model and delegate of a session that has no profile yet."""
    cells = {(cell.sha256, cell.delegate): cell for cell in reversed(session.cells)}
    return [
        functools.partial(_profile, session, cell)
        for key, cell in reversed(cells.items())
        if ("profile", session.phone.serial, *key) not in session.done
    ]


def profiled_keys(records: list[dict]) -> set[tuple]:
    """Keys of what needs no profile any more."""
    return {
        ("profile", record["serial"], record["sha256"], record["delegate"])
        for record in of_kind(records, "profile")
        if record["status"] == "ok"
    }


def _profile(session, cell: Cell, tools: Tools):
    status, reason, operations, lost, unfit = "failed", None, [], None, None
    try:
        session.bring_model(cell, tools)
        session.ready()
        run = session.run_cell(cell, tools, [tools.program.family.profile, *_FLAGS])
        lost = run.error if session.is_lost(run.error) else None
        reason = run.reason
        if run.log is not None:
            # Of the whole output; a record keeps its end.
            parts = [part for part in run.log.profile if part.phase == "regular"]
            # Where a delegate tells its own time, the graph's rows hold it once more as a whole.
            operations = parts[0].by_node_type() if parts else []
            reason = reason or (None if operations else "this benchmark_model prints no profile")
        status = "failed" if reason else "ok"
    except (PhoneError, ValueError) as error:
        reason = str(error)
        lost = error if session.is_lost(error) else None
        unfit = error if isinstance(error, NotReadyError) else None
    session.file.append(
        "profile",
        serial=session.phone.serial,
        **dataclasses.asdict(cell),
        status=status,
        reason=reason,
        operations=[
            {"type": name, "nodes": nodes, "time_ms": time_ms, "share": share}
            for name, nodes, time_ms, share in operations
        ],
    )
    session.say(
        f"profiled {cell.label}, {cell.delegate}: "
        + (f"FAILED: {reason}" if reason else f"{len(operations)} kinds of operations")
    )
    if unfit is not None:
        raise unfit
    return int(status == "failed"), lost
