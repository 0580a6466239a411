import json

import pytest

from android_bench.records import RecordFile, measured, read_records
from android_bench.run.delegation import delegation_of, refusal
from android_bench.run.plan import Cell, matrix, order, read_models
from tests.android_bench.made_records import SERIAL, write_run
from tests.processes import full_disk, kill_at_moments, start
from tests.tflite.benchmark_tool.test_log import LOGS, RELEASE_2_2
from tflite.benchmark_tool.log import parse_log


def write_model(path, content=b"x"):
    path.write_bytes(b"\0\0\0\0TFL3" + content)
    return str(path)


def test_models_by_their_content(tmp_path):
    (tmp_path / "other").mkdir()
    paths = [write_model(tmp_path / "a.tflite"), write_model(tmp_path / "other/a.tflite", b"y")]
    models = read_models(paths)
    # Equal names are told apart.
    assert [model.label for model in models] == [
        f"a.tflite ({model.sha256[:8]})" for model in models
    ]
    with pytest.raises(ValueError, match="Two files are the same model"):
        read_models([paths[0], write_model(tmp_path / "b.tflite")])
    (tmp_path / "text").write_text("hello, world")
    with pytest.raises(ValueError, match="is no .tflite model. Received: .*text"):
        read_models([str(tmp_path / "text")])
    with pytest.raises(ValueError, match="cannot be read. Received: nowhere"):
        read_models(["nowhere"])


def test_the_order_is_shuffled_interleaved_and_repeatable(tmp_path):
    models = read_models([write_model(tmp_path / "a.tflite")])
    cells, left_out = matrix(
        models, ["xnnpack", "cpu"], [1, 2, 4], ["big", "prime"], {"big": 4, "prime": 1}
    )
    assert len(cells) == 8 and {cell.cores for cell in left_out} == {"prime"}
    jobs = order(cells, 6, seed=1)
    assert jobs == order(cells, 6, seed=1) != order(cells, 6, seed=2)
    rounds = [[job.cell for job in jobs if job.round == number] for number in range(7)]
    assert all(sorted(r, key=str) == sorted(cells, key=str) for r in rounds)
    assert len({tuple(one) for one in rounds}) == 7
    # More rounds leave the first ones as they were.
    assert order(cells, 2, seed=1) == jobs[: 3 * 8]


def test_records_survive_a_cut_line(tmp_path):
    path = write_run(tmp_path / "run", {("a", "xnnpack"): [1.0, 2.0]})
    whole = path.read_bytes()
    for cut in (1, 20, 200):
        path.write_bytes(whole[:-cut])
        assert len(read_records(path)) == 3
        with RecordFile(path) as file:
            file.append("noted", text="nächste \ud800")
        records = read_records(path)
        assert len(records) == 4 and records[-1]["text"].startswith("nächste")
    path.write_bytes(whole.replace(b'{"kind": "device"', b'{"kind" "device"'))
    with pytest.raises(ValueError, match="Line 2 of .* is no record"):
        read_records(path)
    for content in ("", '{"kind": "x"}\n', "text\n"):
        path.write_text(content)
        with pytest.raises(ValueError, match="Received: "):
            read_records(path)
    with pytest.raises(ValueError, match="cannot be read"):
        read_records(tmp_path / "nowhere")


def test_each_record_is_on_the_disk_at_once(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr("os.fsync", lambda number: synced.append((tmp_path / "x").read_text()))
    with RecordFile(tmp_path / "x") as file:
        file.append("one", value=1)
        file.append("two", value=2)
    assert [len(text.splitlines()) for text in synced] == [1, 2]
    assert json.loads(synced[1].splitlines()[1])["value"] == 2
    with RecordFile(tmp_path / "x") as file, pytest.raises(ValueError):
        file.append("no number", value=float("nan"))


def test_a_later_success_mends_a_failure_and_not_the_reverse(tmp_path):
    path = write_run(tmp_path / "run", {("a", "xnnpack"): ["broke", 2.0]})
    records = read_records(path)
    cells = [record for record in records if record["kind"] == "cell"]
    mended = cells[0] | {"status": "ok"}
    key = (SERIAL, "sum of a", "xnnpack", 1, "big", 1)
    assert measured(records)[key]["status"] == "failed"
    assert measured([*records, mended])[key] is mended
    assert measured([*records, mended, cells[0]])[key] is mended


def log(name):
    return parse_log((LOGS / f"{name}.log").read_text())


def test_what_a_log_says_of_a_delegate():
    whole = delegation_of("xnnpack", log("run_25_use_xnnpack_explicit"))
    assert whole.describe() == "all (1 partition)" and refusal(whole, False, False) is None
    nodes = delegation_of("xnnpack", log("run_28_preinvoke"))
    assert (nodes.delegated_nodes, nodes.nodes) == (6, 6)
    missing = delegation_of("gpu", log("run_08_gpu"))
    assert missing.coverage == "none"
    assert "gpu ran nothing: the CPU did" in refusal(missing, True, False)
    assert refusal(missing, False, True) is None
    part = delegation_of("gpu", parse_log(RELEASE_2_2))
    assert part.describe() == "part (70 nodes, 3 partitions)"
    assert "--allow_partial=gpu" in refusal(part, False, False)
    assert refusal(part, True, False) is None
    # The CPU's own kernels were asked for, and XNNPACK took the graph.
    taken = delegation_of("cpu", log("run_25_use_xnnpack_explicit"))
    assert "a delegate ran the graph" in refusal(taken, False, False)
    own = delegation_of("cpu", log("run_05_noxnnpack_small_conv_f32"))
    assert own.coverage == "all" and refusal(own, False, False) is None


def test_names_of_cells():
    cell = Cell("a.tflite", "1" * 64, "gpu", 2, "big")
    assert cell.name == "a.tflite, gpu, 2 threads, big cores"


APPENDS = """
import sys
from android_bench.records import RecordFile
with RecordFile(sys.argv[1]) as file:
    print(flush=True)
    for number in range(int(sys.argv[2])):
        file.append("noted", number=number, text="x" * 20_000)
"""


def test_two_processes_do_not_write_into_one_file(tmp_path):
    path = write_run(tmp_path / "run", {("a", "xnnpack"): [1.0]})
    with start(APPENDS, path, 10**6) as other:
        other.stdout.readline()
        with pytest.raises(ValueError, match="Another process writes to the file: .* Received: "):
            RecordFile(path)
        other.kill()
    with RecordFile(path) as file:
        file.append("noted")
    assert read_records(path)[-1]["kind"] == "noted"


def test_a_kill_at_any_moment_loses_no_record(tmp_path):
    path = write_run(tmp_path / "run", {("a", "xnnpack"): [1.0]})
    before = len(read_records(path))
    for _ in kill_at_moments(APPENDS, path, 10**6, moments=8):
        records = read_records(path)
        assert len(records) >= before
        with RecordFile(path) as file:
            file.append("noted", after="a kill")
        before = len(records) + 1
        assert len(read_records(path)) == before


def test_a_full_disk_loses_no_record_and_leaves_no_half_of_one(tmp_path):
    path = write_run(tmp_path / "run", {("a", "xnnpack"): [1.0]})
    before = path.read_bytes()
    with RecordFile(path) as file:
        with full_disk(len(before) + 1000), pytest.raises(OSError, match=str(path)):
            file.append("noted", text="x" * 20_000)
        assert path.read_bytes() == before
        file.append("noted", text="there is room again")
    assert read_records(path)[-1]["text"] == "there is room again"


def test_the_order_is_that_of_the_file_not_of_the_clock(tmp_path, monkeypatch):
    path = write_run(tmp_path / "run", {("a", "xnnpack"): ["broke"]})
    monkeypatch.setattr("android_bench.records.now", lambda: "1970-01-01T00:00:00+00:00")
    cell = {
        key: value for key, value in read_records(path)[-1].items() if key not in ("kind", "date")
    }
    sound = write_run(tmp_path / "sound", {("a", "xnnpack"): [2.0]})
    log = read_records(sound)[-1]["log"]
    with RecordFile(path) as file:
        file.append("cell", **cell | {"status": "ok", "log": log})
    ((_, last),) = measured(read_records(path)).items()
    assert last["status"] == "ok" and last["date"].startswith("1970")
