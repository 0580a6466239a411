from dataclasses import replace

import pytest

from android_bench.phone import errors
from android_bench.phone.readiness import Limits
from android_bench.records import of_kind, read_records
from android_bench.report.statistics import cell_statistics
from android_bench.run.delegation import DelegateOptions
from android_bench.run.folder import WORK_FOLDER, check_folder
from android_bench.run.prepare import check_pinning
from tests.android_bench.sessions import make_request, make_session, run_session
from tests.android_bench.stand_in_benchmark_model import elf_bytes
from tests.tflite.benchmark_tool.test_log import LOGS

ODD_FOLDER = "/data/local/tmp/it's a; $(reboot) ä folder"


def cells(path):
    return of_kind(read_records(path), "cell")


def test_a_matrix_in_rounds_on_the_right_cores(phone, fake, tiny_file, stand_in_binary, tmp_path):
    path = tmp_path / "run.jsonl"
    request = make_request(
        [tiny_file],
        stand_in_binary,
        ODD_FOLDER,
        delegates=["xnnpack", "cpu"],
        threads=[1],
        cores=["big", "prime"],
        rounds=2,
    )
    assert run_session(phone, request, path)[0] == 0
    records = cells(path)
    assert [record["round"] for record in records] == [0] * 4 + [1] * 4 + [2] * 4
    orders = [[(r["delegate"], r["cores"]) for r in records[i : i + 4]] for i in (4, 8)]
    assert orders[0] != orders[1] and sorted(orders[0]) == sorted(orders[1])
    masks = {"big": 0xF0, "prime": 0x80}
    assert fake.run_masks == [masks[record["cores"]] for record in records]
    for record, arguments in zip(records, fake.runs, strict=True):
        assert f"--num_threads={record['threads']}" in arguments
        assert (
            f"--use_xnnpack={'true' if record['delegate'] == 'xnnpack' else 'false'}" in arguments
        )
        assert ("--report_peak_memory_footprint=true" in arguments) == (record["round"] == 0)
        assert record["status"] == "ok" and record["log"]["regular"]["count"] == 3
        assert record["delegation"]["coverage"] == "all"
        assert record["before"]["processor"] == 30.0 and record["after"]["battery_level"] == 80
    # One push of each, and nothing is left: not the folder, not the setting.
    assert len(fake.pushed) == 2
    assert not fake.path(ODD_FOLDER).exists()
    assert fake.settings["global", "stay_on_while_plugged_in"] == "0" and fake.screen_on


def test_what_a_delegate_takes(phone, fake, mixed_file, stand_in_binary, tmp_path):
    path = tmp_path / "run.jsonl"
    request = make_request([mixed_file], stand_in_binary, delegates=["xnnpack", "gpu"])
    failed, lines = run_session(phone, request, path)
    gpu = [record for record in cells(path) if record["delegate"] == "gpu"]
    # The stand-in has no GPU, and like a build without it goes on with the CPU.
    assert failed == len(gpu) == 2
    assert {record["reason"] for record in gpu} == {
        "gpu ran nothing: the CPU did (--allow_fallback accepts it)"
    }
    xnnpack = next(record for record in cells(path) if record["delegate"] == "xnnpack")
    assert xnnpack["delegation"]["coverage"] == "part" and xnnpack["status"] == "ok"
    assert xnnpack["delegation"]["partitions"] == 2
    strict = make_request([mixed_file], stand_in_binary, partial=frozenset())
    failed, lines = run_session(phone, strict, tmp_path / "strict.jsonl")
    assert failed == 2 and "xnnpack ran only part (2 partitions)" in lines[-1]


def test_a_kept_folder_is_not_pushed_again(phone, fake, tiny_file, stand_in_binary, tmp_path):
    request = make_request([tiny_file], stand_in_binary, keep=True)
    for name in ("one", "two"):
        assert run_session(phone, request, tmp_path / name)[0] == 0
    assert len(fake.pushed) == 2 and fake.path(WORK_FOLDER).is_dir()


def test_what_is_refused_before_anything_is_done(phone, fake, tiny_file, stand_in_binary, tmp_path):
    lines = []
    for changes, words in (
        ({"cores": ["12"]}, "no core 12"),
        ({"cores": ["prime"], "threads": [4]}, "more threads than cores"),
        ({"delegates": ["npu"]}, "npu needs --npu_library"),
        ({"delegates": ["external"]}, "needs --external_delegate"),
    ):
        request = make_request([tiny_file], stand_in_binary, **changes)
        with pytest.raises(ValueError, match=words):
            make_session(phone, request, tmp_path / words.replace(" ", ""), lines)
    with pytest.raises(ValueError, match="had another setting threads"):
        path = tmp_path / "run"
        make_session(phone, make_request([tiny_file], stand_in_binary), path, lines)
        other = make_request([tiny_file], stand_in_binary, threads=[2])
        make_session(phone, other, path, lines, resume=True)
    with pytest.raises(ValueError, match="The file exists: go on with it by --resume"):
        make_session(phone, other, path, lines)
    for folder in ("/data/local/tmp", "/sdcard/x", "/data/local/tmp/../x", "/data/local/tmp/a,b"):
        with pytest.raises(ValueError, match="Received: "):
            check_folder(folder)
    with pytest.raises(errors.CommandError, match="does not run programs on the cores 40"):
        check_pinning(phone, (40,))
    assert fake.pushed == []


def test_a_profile_and_a_throttled_phone(phone, fake, tiny_file, stand_in_binary, tmp_path):
    path = tmp_path / "run.jsonl"
    # What the real tool printed, as the stand-in has no profiler.
    fake.faults.profile_log = LOGS / "run_10b_profile_small_conv_int8.log"
    fake.faults.throttle_after_runs = 1
    request = make_request([tiny_file], stand_in_binary, delegates=["cpu"], profile=True)
    # The phone is throttled after the last timed run, and would not be profiled.
    with pytest.raises(errors.NotReadyError, match="thermal status 2"):
        run_session(phone, replace(request, limits=Limits(wait_seconds=0)), path)
    (cell,) = cell_statistics(read_records(path))
    assert cell.marks == ("throttled", "few rounds") and cell.limit_mhz == 0.6 * 2400
    fake.faults.throttle_after_runs = None
    failed, _ = run_session(phone, request, path, resume=True)
    profile = of_kind(read_records(path), "profile")[-1]
    assert failed == 0 and profile["status"] == "ok"
    assert profile["operations"][0]["type"] == "Convolution (NHWC, QC8) IGEMM"
    assert profile["operations"][0]["nodes"] == 2


def test_a_program_for_another_phone(phone, fake, tiny_file, tmp_path):
    binary = tmp_path / "benchmark_model"
    binary.write_bytes(elf_bytes("x86_64"))
    with pytest.raises(errors.BinaryError, match="is for x86_64, the phone takes arm64-v8a"):
        make_session(phone, make_request([tiny_file], binary), tmp_path / "run", [])
    assert fake.pushed == []


def test_a_delegate_from_a_file(phone, fake, tiny_file, stand_in_binary, tmp_path):
    library = tmp_path / "libdelegate.so"
    library.write_bytes(b"a library")
    luggage = make_request([tiny_file], stand_in_binary).luggage
    options = DelegateOptions(external_options="cache:1", nnapi_accelerator="an accelerator")
    request = make_request(
        [tiny_file],
        stand_in_binary,
        luggage=replace(luggage, external=library, options=options),
        delegates=["external", "nnapi"],
        keep=True,
    )
    failed, _ = run_session(phone, request, tmp_path / "run.jsonl")
    path = f"{WORK_FOLDER}/external_delegate.so"
    assert fake.path(path).read_bytes() == b"a library"
    # The stand-in knows neither, and so both are failures.
    assert failed == len(fake.runs) == 4
    given = {flag for arguments in fake.runs for flag in arguments}
    assert {f"--external_delegate_path={path}", "--external_delegate_options=cache:1"} <= given
    assert {"--use_nnapi=true", "--nnapi_accelerator_name=an accelerator"} <= given
