"""Measuring on one phone from beginning to end."""

import contextlib
import dataclasses
import functools
import time
import uuid
from collections.abc import Callable

from android_bench import records
from android_bench.phone import readiness
from android_bench.phone.connection import Phone
from android_bench.phone.device import Device
from android_bench.phone.errors import (
    NotReadyError,
    OfflineError,
    PhoneError,
    PhoneLostError,
    PhoneTimeoutError,
)
from android_bench.phone.lock import patient_lock
from android_bench.phone.state import State, read_state
from android_bench.run.one_cell import (
    CellRun,
    Tools,
    command_for,
    end_processes,
    length_flags,
    outcome,
    run_cell,
    run_fields,
)
from android_bench.run.plan import PROBE, Cell, Job, Model, order
from android_bench.run.prepare import LOCK, awake, bring, bring_model, clean_up, put_back
from android_bench.run.profiling import profile_tasks
from android_bench.run.request import Request, check_request
from android_bench.run.single_runs import single_flags, time_single_runs
from android_bench.run.verify import verify_tasks

# Does something with what was pushed; gives how much failed, and what lost the phone or `None`.
Task = Callable[[Tools], tuple[int, PhoneError | None]]


class Session:
    """One phone, one request, one file of records.

    Args:
        phone: The phone.
        device: What it is.
        request: What to measure.
        file: Where everything is recorded.
        done: Keys (`records.job_key`) of what was measured before.
        say: Takes lines for the user.
        sleep: Passes time.
        name: Name of the run, by which it knows its own lock.
    """

    def __init__(
        self,
        phone: Phone,
        device: Device,
        request: Request,
        file: records.RecordFile,
        done: set[tuple],
        say: Callable[[str], None],
        sleep: Callable[[float], None] = time.sleep,
        name: str | None = None,
    ):
        self.phone, self.device, self.request = phone, device, request
        self.file, self.done, self._say, self._sleep = file, done, say, sleep
        self._name = name or uuid.uuid4().hex
        self.groups, self.cells, self.left_out = check_request(device, request)
        # The screen's setting before the run, which a phone that is back no longer has.
        self._stay_on: str | None = None
        self._models = {model.sha256: model for model in request.luggage.models}

    def say(self, text: str) -> None:
        """A line for the user, with the phone's name."""
        self._say(f"{self.device.model or self.phone.serial}: {text}")

    def run(self) -> int:
        """Measures what is missing.

        Returns:
            How many things failed.

        Raises:
            PhoneError: If the phone cannot be prepared, or is lost for good;
                what was measured until then is in the file.
        """
        jobs = [
            job
            for job in order(self.cells, self.request.rounds, self.request.seed)
            if self._key(job) not in self.done
        ]
        for cell in self.left_out:
            self.say(f"left out, more threads than cores: {cell.name}")
        tasks = self._tasks(jobs)
        failed, lost_before = 0, None
        while tasks:
            try:
                with self._prepared() as tools:
                    while tasks:
                        # A task that loses the phone is recorded and not tried again.
                        task = tasks.pop(0)
                        failures, lost = task(tools)
                        failed += failures
                        if lost is not None:
                            raise lost
            except NotReadyError:
                raise
            except PhoneError as error:
                if not isinstance(error, PhoneLostError | PhoneTimeoutError | OfflineError):
                    raise
                self.file.append("lost", serial=self.phone.serial, reason=str(error))
                if lost_before == len(tasks):
                    raise
                lost_before = len(tasks)
                self.say(f"{error}; waiting for it")
                self.phone.wait_until_back(self.request.reconnect_seconds, self._sleep)
                self.say("the phone is back")
                if not tasks:
                    with contextlib.suppress(PhoneError):
                        self._clean_up()
                    if self._stay_on is not None:
                        put_back(self.phone, self.say, self._stay_on)
        self.file.append("end", serial=self.phone.serial, failed=failed)
        return failed

    def _tasks(self, jobs: list[Job]) -> list[Task]:
        """Everything to do, in order."""
        tasks: list[Task] = []
        if self.request.verification is not None:
            tasks += verify_tasks(self, self.request.verification)
        tasks += [
            functools.partial(self._measure, job, number, len(jobs))
            for number, job in enumerate(jobs, 1)
        ]
        return tasks + (profile_tasks(self) if self.request.profile else [])

    @contextlib.contextmanager
    def _prepared(self):
        """The phone locked, awake and loaded; afterwards as it was."""
        locked = patient_lock(
            self.phone, LOCK, self._name, self.request.reconnect_seconds, self._sleep
        )
        with locked, awake(self.phone, self.say, self._stay_on) as self._stay_on:
            tools = bring(self.phone, self.request.luggage, self.request.program, self.groups)
            state = read_state(self.phone, self.device)
            self.file.append(
                "prepared",
                serial=self.phone.serial,
                state=dataclasses.asdict(state),
                stay_on_before=self._stay_on,
            )
            if state.power_save:
                self.say("warning: battery saver is on and slows the phone")
            try:
                yield tools
            except (PhoneLostError, PhoneTimeoutError, OfflineError):
                # It is not there to be cleaned up; that is done when it is back.
                raise
            except BaseException:
                self._clean_up()
                raise
            self._clean_up()

    def _clean_up(self):
        if not self.request.keep:
            clean_up(self.phone, self.request.luggage.folder, self.say)

    def _measure(
        self, job: Job, number: int, total: int, tools: Tools
    ) -> tuple[int, PhoneError | None]:
        """Measures one job and records it, whatever happens."""
        cell, before, after, waits, singles = job.cell, None, None, [], None
        flags = length_flags(job.round, self.request.length, self.request.program.family)
        try:
            self.bring_model(cell, tools)
            before, waits = self.ready()
        # A model's file may have changed meanwhile, or be gone.
        except (PhoneError, OSError, ValueError) as error:
            run = CellRun("failed", str(error), command_for(cell, tools, *flags), "", error=error)
        else:
            run = self.run_cell(cell, tools, flags)
        if run.status == "ok" and job.round != PROBE and self.request.length.single_runs:
            singles = self._time_single_runs(cell, tools)
        errors = (run.error, singles and singles.error)
        lost = next((error for error in errors if self.is_lost(error)), None)
        if lost is None:
            try:
                after = read_state(self.phone, self.device)
            except PhoneError as error:
                lost = error
        self.file.append(
            "cell",
            serial=self.phone.serial,
            round=job.round,
            **dataclasses.asdict(cell),
            core_numbers=list(tools.cores[cell.cores]),
            **run_fields(run),
            singles=singles and singles.fields(),
            before=_state_fields(before),
            after=_state_fields(after),
            waits=[_state_fields(state) for state in waits],
        )
        which = "probe" if job.round == PROBE else f"round {job.round} of {self.request.rounds}"
        self.say(f"{number}/{total} {which}, {cell.name}: {outcome(run)}")
        if singles and singles.reason:
            self.say(f"warning: of the runs one by one {len(singles.times_us)}: {singles.reason}")
        if isinstance(run.error, NotReadyError):
            # It would be the same for every cell; `--resume` goes on when the phone is fit.
            raise run.error
        if lost is None and number < total:
            self._sleep(self.request.cooldown_seconds)
        return int(run.status == "failed"), lost

    def _time_single_runs(self, cell, tools):
        length = self.request.length
        singles = time_single_runs(
            self.phone,
            command_for(cell, tools, *single_flags()),
            length.single_runs,
            length.single_seconds,
            length.timeout_seconds,
        )
        self._end_if_too_long(singles.error, tools)
        return singles

    def run_cell(self, cell: Cell, tools: Tools, flags: list[str]) -> CellRun:
        """Runs a cell by what this request allows; ends a run that takes too long."""
        run = run_cell(
            self.phone,
            cell,
            tools,
            flags,
            self.request.length.timeout_seconds,
            cell.delegate in self.request.partial,
            self.request.fallback_allowed,
        )
        self._end_if_too_long(run.error, tools)
        return run

    def _end_if_too_long(self, error, tools):
        if isinstance(error, PhoneTimeoutError):
            with contextlib.suppress(PhoneError):
                end_processes(self.phone, tools.folder)

    def ready(self) -> tuple[State, list[State]]:
        """Waits until the phone is fit for a measurement."""
        return readiness.wait_until_ready(
            lambda: read_state(self.phone, self.device), self.request.limits, self.say, self._sleep
        )

    def bring_model(self, cell: Cell, tools: Tools) -> None:
        """Pushes a cell's model if the phone lacks it."""
        bring_model(self.phone, self.model_of(cell), tools)

    @staticmethod
    def is_lost(error: Exception | None) -> bool:
        """Whether it is of no use to go on with the phone as if nothing were."""
        return isinstance(error, PhoneLostError | OfflineError)

    def model_of(self, cell: Cell) -> Model:
        """The file that a cell measures."""
        return self._models[cell.sha256]

    def _key(self, job):
        cell = job.cell
        serial = self.phone.serial
        return (serial, cell.sha256, cell.delegate, cell.threads, cell.cores, job.round)


def _state_fields(state):
    return None if state is None else dataclasses.asdict(state)
