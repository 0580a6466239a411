import pytest

from android_bench.doctor import examine
from android_bench.phone.lock import lock
from android_bench.run.prepare import LOCK
from tests.android_bench.stand_in_benchmark_model import elf_bytes


def look(fake, binary):
    port = None
    findings = examine(port, str(binary), None, None)
    return {one.what: one for one in findings if one.about in ("adb", fake.serial)}


def test_a_phone_that_is_ready(fake, stand_in_binary):
    findings = look(fake, stand_in_binary)
    assert {one.level for one in findings.values()} == {"ok"}
    assert findings["connection"].message == "Nobody Fake 1, Android 14"
    asked = "for arm64-v8a, TensorFlow Lite's benchmark_model"
    assert findings["benchmark_model"].message == asked
    assert "127" not in findings["/data/local/tmp"].message
    # Nothing is left behind but the file that runs lock.
    assert [fake.path(LOCK)] == list(fake.path("/data/local/tmp").iterdir())


def test_a_phone_on_which_another_run_measures(phone, fake, stand_in_binary):
    with lock(phone, LOCK):
        finding = look(fake, stand_in_binary)["benchmark_model"]
    assert finding.level == "warning" and "not tried: " in finding.message
    assert not fake.runs


def test_everything_that_may_be_missing(fake, tmp_path):
    binary = tmp_path / "benchmark_model"
    binary.write_bytes(elf_bytes("x86_64"))
    fake.faults.not_executable = True
    fake.faults.without_flock = True
    fake.faults.storage_bytes = 1_000_000
    fake.settings["global", "low_power"] = "1"
    findings = look(fake, binary)
    for what, words in {
        "/data/local/tmp": "noexec",
        "tools": "no flock: Android 8",
        "storage": "0 MiB free: delete something",
        "benchmark_model": "is for x86_64, the phone takes arm64-v8a",
    }.items():
        assert findings[what].level == "missing" and words in findings[what].message
    assert findings["power"].level == "warning" and "battery saver" in findings["power"].message


def test_several_phones(make_phone, stand_in_binary):
    phones = [make_phone(), make_phone()]
    findings = examine(None, str(stand_in_binary), None, None)
    assert {one.level for one in findings} == {"ok"}
    assert any(one.message.startswith("several: choose with --device=SERIAL") for one in findings)
    assert {phone.serial for phone in phones} <= {one.about for one in findings}


def test_no_phone_and_no_binary(server):
    findings = {one.what: one for one in examine(None, None, None, None)}
    assert findings["server"].level == "ok"
    assert "USB debugging" in findings["phones"].message
    assert "--benchmark_binary" in findings["benchmark_model"].message


def test_a_phone_that_has_not_allowed_it(server, make_phone, stand_in_binary):
    fake = make_phone(connect=False)
    fake.faults.unauthorized = True
    server.connect(fake.serial)
    assert "Allow USB debugging" in look(fake, stand_in_binary)["connection"].message


def test_no_adb(monkeypatch, tmp_path):
    from tests.android_bench.conftest import free_port

    pytest.importorskip("adbutils")
    monkeypatch.setenv("ADBUTILS_ADB_PATH", str(tmp_path / "adb"))
    (finding,) = examine(free_port(), None, None, None)
    assert finding.level == "missing" and "does not start" in finding.message
