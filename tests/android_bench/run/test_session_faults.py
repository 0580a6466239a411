import contextlib
import re

import pytest

from android_bench.phone import errors
from android_bench.phone.lock import lock
from android_bench.phone.readiness import Limits
from android_bench.records import measured, of_kind, read_records
from android_bench.run.folder import WORK_FOLDER
from android_bench.run.prepare import LOCK
from tests.android_bench.sessions import make_request, make_session, run_session

ODD_FOLDER = "/data/local/tmp/it's a; $(reboot) ä folder"


def cells(path):
    return of_kind(read_records(path), "cell")


def test_a_phone_unplugged_in_a_run_and_the_rest(phone, fake, tiny_file, stand_in_binary, tmp_path):
    path = tmp_path / "run.jsonl"
    request = make_request([tiny_file], stand_in_binary, threads=[1, 2], rounds=1)
    fake.faults.drop_during_run = 2
    fake.faults.back_after_s = 0.3
    failed, lines = run_session(phone, request, path)
    assert failed == 1
    status = [record["status"] for record in cells(path)]
    assert status == ["ok", "ok", "failed", "ok"]
    lost = cells(path)[2]
    assert "was lost while taskset ran" in lost["reason"] and "half way" in lost["output"]
    assert any("waiting for it" in line for line in lines)
    assert any("the phone is back" in line for line in lines)
    assert not fake.path(WORK_FOLDER).exists()
    # As it was before the run, not as the run itself had set it.
    assert fake.settings["global", "stay_on_while_plugged_in"] == "0"
    # A second run does only what is missing.
    runs = len(fake.runs)
    failed, lines = run_session(phone, request, path, resume=True)
    assert failed == 0 and len(fake.runs) == runs + 1
    assert {record["status"] for record in measured(read_records(path)).values()} == {"ok"}
    assert len(measured(read_records(path))) == 4


def test_a_phone_unplugged_in_the_last_run(phone, fake, tiny_file, stand_in_binary, tmp_path):
    request = make_request([tiny_file], stand_in_binary, rounds=1)
    fake.faults.drop_during_run = 1
    fake.faults.back_after_s = 0.3
    failed, _ = run_session(phone, request, tmp_path / "run.jsonl")
    assert failed == 1 and not fake.path(WORK_FOLDER).exists()
    assert fake.settings["global", "stay_on_while_plugged_in"] == "0"


def test_a_model_that_changes_meanwhile(phone, fake, tiny_file, stand_in_binary, tmp_path):
    path, changed, gone = tmp_path / "run.jsonl", tmp_path / "a.tflite", tmp_path / "b.tflite"
    for copy in (changed, gone):
        copy.write_bytes(tiny_file.read_bytes() + copy.name.encode())
    request = make_request([changed, gone, tiny_file], stand_in_binary, rounds=1)
    lines: list[str] = []
    session, file = make_session(phone, request, path, lines)
    changed.write_bytes(b"other")
    gone.unlink()
    fake.path(WORK_FOLDER).mkdir(parents=True, exist_ok=True)
    with file:
        assert session.run() == 4
    by_label = {record["label"]: record for record in cells(path)}
    assert "has changed since the run began" in by_label["a.tflite"]["reason"]
    assert "No such file" in by_label["b.tflite"]["reason"]
    assert by_label[tiny_file.name]["status"] == "ok"


def test_a_phone_that_never_comes_back(phone, fake, tiny_file, stand_in_binary, tmp_path):
    path = tmp_path / "run.jsonl"
    request = make_request(
        [tiny_file], stand_in_binary, threads=[1, 2], rounds=1, reconnect_seconds=0.5
    )
    fake.faults.drop_during_run = 1
    with pytest.raises(errors.PhoneError):
        run_session(phone, request, path)
    # What was measured is there.
    assert [record["status"] for record in cells(path)] == ["ok", "failed"]


def test_unplugged_while_a_model_is_pushed(phone, fake, tiny_file, stand_in_binary, tmp_path):
    path = tmp_path / "run.jsonl"
    fake.faults.drop_after_pushed_bytes = tiny_file.stat().st_size
    fake.faults.back_after_s = 0.3
    failed, _ = run_session(phone, make_request([tiny_file], stand_in_binary), path)
    assert failed == 1
    assert [record["status"] for record in cells(path)] == ["failed", "ok"]
    assert "was lost on the way to write" in cells(path)[0]["reason"]


def test_a_full_phone(phone, fake, tiny_file, stand_in_binary, tmp_path):
    path = tmp_path / "run.jsonl"
    big = tmp_path / "big.tflite"
    big.write_bytes(tiny_file.read_bytes() + bytes(200_000))
    fake.faults.storage_bytes = 100_000
    failed, _ = run_session(phone, make_request([big, tiny_file], stand_in_binary), path)
    by_label = {record["label"]: record for record in cells(path)}
    assert failed == 2 and by_label[tiny_file.name]["status"] == "ok"
    assert "No space left" in by_label[big.name]["reason"]


def test_a_run_that_hangs_is_ended(phone, fake, tiny_file, stand_in_binary, tmp_path):
    path = tmp_path / "run.jsonl"
    request = make_request([tiny_file], stand_in_binary)
    length = request.length.__class__(runs=3, seconds=0, warmup_seconds=0, timeout_seconds=1.5)
    fake.faults.hang_in_run = 0
    failed, _ = run_session(phone, make_request([tiny_file], stand_in_binary, length=length), path)
    assert failed == 1 and [record["status"] for record in cells(path)] == ["failed", "ok"]
    assert "was stopped after 1.5 s" in cells(path)[0]["reason"]
    killing = next(words for words in fake.commands if words[0] == "pkill")
    # It ends what runs from the work folder, and not the shell that runs it.
    assert re.search(killing[-1], f"taskset f0 {WORK_FOLDER}/benchmark_model --graph=x")
    assert not re.search(killing[-1], " ".join(killing))


@pytest.mark.parametrize(
    ("fault", "value", "reason"),
    [
        ("output", lambda text: "\x00garbage\n" * 50, "has no line 'Inference timings in us'"),
        ("output", lambda text: text[: len(text) // 2], "The output of benchmark_model"),
        ("output", lambda text: "", "no output"),
        ("run_exit_code", 137, "was ended by SIGKILL"),
        ("not_executable", True, "can't execute: Permission denied"),
    ],
)
def test_runs_without_a_result(
    phone, fake, tiny_file, stand_in_binary, tmp_path, fault, value, reason
):
    path = tmp_path / "run.jsonl"
    setattr(fake.faults, fault, value)
    failed, lines = run_session(phone, make_request([tiny_file], stand_in_binary), path)
    assert failed == 2
    assert all(reason in record["reason"] for record in cells(path))
    assert any("FAILED" in line for line in lines)


def test_a_hot_phone_that_cools(phone, fake, tiny_file, stand_in_binary, tmp_path):
    path = tmp_path / "run.jsonl"
    fake.heat(48.0)
    fake.cooling_per_look = 1.0
    failed, lines = run_session(phone, make_request([tiny_file], stand_in_binary), path)
    assert failed == 0
    assert any("waiting: processor 4" in line and "> 45 °C" in line for line in lines)
    assert cells(path)[0]["waits"][0]["processor"] > 45 >= cells(path)[0]["before"]["processor"]


def test_a_phone_that_stays_hot_or_empty(phone, fake, tiny_file, stand_in_binary, tmp_path):
    path = tmp_path / "run.jsonl"
    fake.battery_level = 10
    fake.heat(60.0)
    fake.cooled_to = 60.0
    limits = Limits(wait_seconds=0.3, poll_seconds=0.1)
    with pytest.raises(errors.NotReadyError, match="60.0 °C > 45 °C, battery 10 % < 25 %"):
        run_session(phone, make_request([tiny_file], stand_in_binary, limits=limits), path)
    assert [record["status"] for record in cells(path)] == ["failed"]
    assert not fake.path(WORK_FOLDER).exists() and fake.runs == []


def test_two_runs_cannot_share_a_phone(phone, fake, tiny_file, stand_in_binary, tmp_path):
    request = make_request([tiny_file], stand_in_binary)
    with lock(phone, LOCK):
        with pytest.raises(errors.LockedError, match="in use by another run .*, process "):
            run_session(phone, request, tmp_path / "one.jsonl")
        assert fake.runs == []
    # Given back, and free after a run that ended in any way.
    for _ in range(2):
        with pytest.raises(RuntimeError), lock(phone, LOCK):
            raise RuntimeError
    fake.faults.back_after_s = 0.2
    with lock(phone, LOCK):
        fake.reboot()
    phone.wait_until_back(20)
    with lock(phone, LOCK):
        pass


def test_a_lock_of_its_own_that_lingers(phone, fake, tiny_file, stand_in_binary, tmp_path):
    lines = []
    request = make_request([tiny_file], stand_in_binary)
    session, file = make_session(phone, request, tmp_path / "run", lines)
    with file, contextlib.ExitStack() as stack:
        # As after a broken connection that the phone has not noticed yet.
        stack.enter_context(lock(phone, LOCK, session._name))
        session._sleep = lambda seconds: stack.close()
        assert session.run() == 0
    with (
        lock(phone, LOCK, "one"),
        pytest.raises(errors.LockedError) as caught,
        lock(phone, LOCK, "another"),
    ):
        pass
    assert not caught.value.own


def test_a_phone_without_flock(phone, fake):
    fake.faults.without_flock = True
    with pytest.raises(errors.CommandError, match="no flock: Android 8"), lock(phone, LOCK):
        pass
