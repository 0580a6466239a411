"""LiteRT's own program on the fake phone, and what `npu` means."""

from dataclasses import replace

import pytest

from android_bench.records import of_kind, read_records
from android_bench.report.contents import evaluate, text
from android_bench.run.folder import WORK_FOLDER
from android_bench.run.head import head, open_file
from android_bench.run.npu import find_libraries
from android_bench.run.request import check_request
from android_bench.run.verify import Verification
from tests.android_bench.sessions import LITERT, TENSORFLOW, make_request, run_session
from tests.android_bench.stand_in_benchmark_model import elf_bytes

DISPATCH, COMPILER = "libLiteRtDispatch_Vendor.so", "libLiteRtCompilerPlugin_Vendor.so"


@pytest.fixture
def libraries(tmp_path):
    """What a vendor gives, also for a processor that is not the phone's."""
    folder = tmp_path / "libraries"
    folder.mkdir()
    for name in (DISPATCH, COMPILER, "libVendor.so"):
        (folder / name).write_bytes(elf_bytes("arm64-v8a"))
    (folder / "libVendorSkel.so").write_bytes(b"for a DSP")
    (folder / "notes.txt").write_text("not pushed")
    return folder


@pytest.fixture
def make_npu_request(tiny_file, litert_binary, libraries):
    def make(names=None, models=None, **changes):
        given = [str(libraries)] if names is None else [str(libraries / name) for name in names]
        request = make_request(models or [tiny_file], litert_binary, delegates=["npu"], **changes)
        return replace(request, luggage=replace(request.luggage, npu=find_libraries(given)))

    return make


def cells(path):
    return of_kind(read_records(path), "cell")


def test_the_cpu_by_litert_s_own_program(phone, fake, tiny_file, litert_binary, tmp_path):
    path = tmp_path / "run.jsonl"
    request = make_request([tiny_file], litert_binary, profile=True)
    request = replace(request, length=replace(request.length, single_runs=6))
    assert run_session(phone, request, path)[0] == 0
    probe, timed = cells(path)
    assert probe["log"]["family"] == "litert" and probe["log"]["peak_memory_mib"] > 0
    assert probe["delegation"]["coverage"] == "all" and timed["log"]["regular"]["count"] == 3
    assert timed["log"]["regular"]["median_us"] > 0 and timed["log"]["unconsumed_flags"] == []
    assert len(timed["singles"]["times_us"]) == 6
    for arguments in fake.runs:
        assert "--use_cpu=true" in arguments
        assert not [one for one in arguments if one.startswith(("--use_xnnpack", "--print_"))]
    assert fake.run_environments == [{}] * 3
    assert of_kind(read_records(path), "profile")[0]["operations"][0]["type"] == "Conv (F32)"
    records = read_records(path)
    binary = records[0]["binary"]
    assert (binary["family"], binary["release"]) == ("litert", "2.2.0 or newer")
    assert len(binary["sha256"]) == 64
    assert (
        f"LiteRT's benchmark_model (CompiledModel), 2.2.0 or newer, SHA-256 {binary['sha256']}"
        in (text(evaluate(records)))
    )


def test_an_npu(phone, fake, make_npu_request, libraries, tmp_path):
    path, folder = tmp_path / "run.jsonl", f"{WORK_FOLDER}/npu"
    request = make_npu_request(keep=True)
    request = replace(request, length=replace(request.length, single_runs=3))
    assert run_session(phone, request, path)[0] == 0
    pushed = sorted(one.name for one in fake.path(folder).iterdir())
    assert pushed == sorted(one.name for one in libraries.glob("*.so"))
    for arguments in fake.runs:
        assert {
            "--use_npu=true",
            f"--dispatch_library_path={folder}",
            f"--compiler_plugin_library_path={folder}",
        } <= set(arguments)
        assert not [one for one in arguments if "nnapi" in one]
    names = ("LD_LIBRARY_PATH", "ADSP_LIBRARY_PATH")
    assert fake.run_environments == [dict.fromkeys(names, folder)] * 2
    timed = cells(path)[1]
    found = timed["delegation"]
    assert (found["delegate"], found["coverage"]) == ("npu", "all")
    # In operations of the file, of which one compiled part was made.
    assert found["delegated_nodes"] == found["nodes"] > 1 and found["partitions"] == 1
    # Those one by one are on the NPU, too.
    assert len(timed["singles"]["times_us"]) == 3 and timed["singles"]["reason"] is None
    assert {one["label"] for one in read_records(path)[0]["npu_libraries"]} == set(pushed)


@pytest.mark.parametrize(
    ("content", "changes", "failed", "words"),
    [
        (b"falls back", {}, 2, "npu ran nothing: the CPU did (--allow_fallback accepts it)"),
        (b"falls back", {"fallback_allowed": True}, 0, "npu runs none"),
        (b"takes a part", {}, 2, "npu ran only part"),
        (b"takes a part", {"partial": frozenset({"npu"})}, 0, "npu runs part"),
    ],
)
def test_an_npu_that_does_not_run_it_all(
    phone, make_npu_request, libraries, tmp_path, content, changes, failed, words
):
    library = libraries / DISPATCH
    library.write_bytes(library.read_bytes() + content)
    count, lines = run_session(phone, make_npu_request(**changes), tmp_path / "run.jsonl")
    assert count == failed and words in lines[-1]


def test_a_file_that_was_compiled_before(phone, fake, make_npu_request, tiny_file, tmp_path):
    model = tmp_path / "compiled.tflite"
    # The name of the operation is all that is looked at.
    model.write_bytes(tiny_file.read_bytes() + b"DISPATCH_OP")
    request = make_npu_request([DISPATCH], [model])
    assert run_session(phone, request, tmp_path / "run.jsonl")[0] == 0
    assert not [one for one in fake.runs[0] if one.startswith("--compiler_plugin_library_path")]


@pytest.fixture
def device(phone):
    from android_bench.phone.device import describe

    return describe(phone)


def test_what_an_npu_needs(device, fake, make_npu_request, libraries, tiny_file):
    compiler = "npu needs --npu_library with the vendor's compiler plugin.*not compiled for an NPU"
    for names, words in (
        ([], "npu needs --npu_library with the vendor's dispatch library"),
        (["libVendor.so"], "npu needs --npu_library with the vendor's dispatch library"),
        ([DISPATCH], compiler),
    ):
        with pytest.raises(ValueError, match=words) as caught:
            check_request(device, make_npu_request(names))
        assert "\n" not in str(caught.value)
    request = make_npu_request()
    with pytest.raises(ValueError, match="no semicolon"):
        folder = f"{WORK_FOLDER};"
        check_request(device, replace(request, luggage=replace(request.luggage, folder=folder)))
    with pytest.raises(ValueError, match="need --delegate=npu. Received: --npu_library"):
        check_request(device, replace(request, delegates=["xnnpack"]))
    (libraries / COMPILER).write_bytes(elf_bytes("x86_64"))
    with pytest.raises(ValueError, match=f"is for x86_64, the phone takes .*{COMPILER}"):
        check_request(device, request)
    (libraries / COMPILER).write_bytes(b"text")
    with pytest.raises(ValueError, match=f"is no library. Received: .*{COMPILER}"):
        check_request(device, request)
    (libraries / "libLiteRtDispatch_Other.so").write_bytes(elf_bytes("arm64-v8a"))
    with pytest.raises(ValueError, match="the first of several .* give one. Received: .*_Other.so"):
        check_request(device, make_npu_request())
    assert fake.pushed == []


def test_libraries_that_are_named(tmp_path, libraries):
    assert len(find_libraries([str(libraries)])) == 4
    # Named by itself as well, it is one.
    assert len(find_libraries([str(libraries), str(libraries / DISPATCH)])) == 4
    (tmp_path / "empty").mkdir()
    (tmp_path / DISPATCH).write_bytes(b"another")
    for names, words in (
        (["nowhere"], "no such file or folder. Received: --npu_library=nowhere"),
        ([str(tmp_path / "empty")], "holds no library. Received: --npu_library=.*empty"),
        ([str(libraries), str(tmp_path)], f"the same name. Received: {DISPATCH}"),
    ):
        with pytest.raises(ValueError, match=words):
            find_libraries(names)


def test_what_a_program_lacks(device, tiny_file, stand_in_binary, litert_binary, make_npu_request):
    lacking = make_npu_request()
    with pytest.raises(ValueError, match="TensorFlow Lite's .* has no delegate npu: LiteRT's"):
        check_request(device, replace(lacking, program=TENSORFLOW))
    for delegate in ("cpu", "nnapi"):
        request = make_request([tiny_file], litert_binary, delegates=["xnnpack", delegate])
        with pytest.raises(ValueError, match=f"LiteRT's .* has no delegate {delegate}: "):
            check_request(device, request)
    verification = Verification({}, {}, None, 1, 1, "none")
    request = make_request([tiny_file], stand_in_binary, verification=verification)
    check_request(device, request)
    with pytest.raises(ValueError, match="takes no inputs and writes no outputs.*--verify"):
        check_request(device, replace(request, program=LITERT))


def test_going_on_with_other_libraries(make_npu_request, libraries, tmp_path):
    path = tmp_path / "run.jsonl"
    open_file(path, False, head(make_npu_request()))[0].close()
    open_file(path, True, head(make_npu_request()))[0].close()
    (libraries / "libVendor.so").write_bytes(elf_bytes("arm64-v8a") + b"newer")
    with pytest.raises(ValueError, match="had other npu libraries: start a new one"):
        open_file(path, True, head(make_npu_request()))
