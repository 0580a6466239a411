"""Logs of LiteRT's own program, composed by its source's format strings."""

import re

import pytest

from tests.tflite import litert_program
from tests.tflite.litert_program import outputs, partitioned, replacing
from tflite.benchmark_tool.delegates import DelegateUse
from tflite.benchmark_tool.log import parse_log

CPU = replacing(60, 60, "TfLiteXNNPackDelegate")


def both(**options):
    return "".join(outputs(**options))


def test_every_figure_of_a_run():
    log = parse_log(both(between=CPU, peak_mib=35.2))
    assert (log.family, log.model, log.threads) == ("litert", "/data/local/tmp/m.tflite", 2)
    assert (log.init_us, log.first_inference_us, log.model_size_mb) == (4478, 1033, 3.27774)
    assert (log.warmup.count, log.warmup.median_us) == (3, 473)
    regular = log.regular
    # In microseconds, by the count line; the table has hundredths of a millisecond.
    assert (regular.count, regular.min_us, regular.max_us, regular.avg_us) == (5, 442, 979, 560.8)
    assert (regular.median_us, regular.p95_us) == (461, 979)
    assert (log.memory_init_mib, log.memory_overall_mib, log.peak_memory_mib) == (8.94, 11.51, 35.2)
    assert log.delegates == (DelegateUse("XNNPACK", False, "all", None, 60, 60, 1),)
    assert (log.unapplied_delegates, log.warnings, log.errors) == ((), (), ())
    # An ordinary build for a computer does not say what XNNPACK runs.
    assert parse_log(both()).delegates == (DelegateUse("XNNPACK"),)


def test_the_order_of_outputs_and_logcat_do_not_matter():
    stdout, stderr = outputs(between=CPU)
    expected = parse_log(stdout + stderr)
    assert parse_log(stderr + stdout) == expected
    lines = (stdout + stderr).splitlines()
    for prefix in ("09-28 06:21:39.234 19410 19410 I {:8}: ", "I/{:8}(19410): "):
        logcat = [
            prefix.format("litert" if "[" in line[:20] else "tflite")
            + re.sub("^(INFO|VERBOSE): ", "", line)
            for line in lines
        ]
        assert parse_log("\n".join(logcat)) == expected


def test_the_table_alone():
    """As logcat filtered by LiteRT's tag gives it: coarser, and no median."""
    log = parse_log(litert_program.table(237_730, [74_040], [74_100, 74_860, 73_900]))
    assert (log.init_us, log.first_inference_us) == (237_730, 74_040)
    assert (log.regular.count, log.regular.avg_us) == (3, 74_290)
    assert (log.regular.min_us, log.regular.max_us) == (73_900, 74_860)
    assert log.regular.median_us is None
    with pytest.raises(ValueError, match="too coarse"):
        parse_log(litert_program.table(900, [3], [3, 3, 3]))


def test_a_dry_run():
    log = parse_log(both(warmup=(), regular=()))
    assert log.regular.count == 0 and log.first_inference_us is None


@pytest.mark.parametrize(
    ("between", "libraries", "name", "use"),
    [
        (
            replacing(60, 60, "LITERT_CL"),
            None,
            "GPU",
            DelegateUse("GPU", False, "all", None, 60, 60, 1),
        ),
        (
            replacing(48, 60, "LITERT_CL", 2) + replacing(12, 13, "TfLiteXNNPackDelegate"),
            None,
            "GPU",
            DelegateUse("GPU", False, "part", None, 48, 60, 2),
        ),
        # Compiled on the phone: one operation of the new graph stands for 60 of the file.
        (
            partitioned(60, 60) + replacing(1, 1, "DispatchDelegate"),
            "/lib",
            "NPU",
            DelegateUse("NPU", False, "all", 1, 60, 60, 1),
        ),
        (
            partitioned(57, 60, 2) + replacing(2, 5, "DispatchDelegate", 4),
            "/lib",
            "NPU",
            DelegateUse("NPU", False, "part", 2, 57, 60, 4),
        ),
        # Compiled before: the file itself has so few.
        (
            replacing(1, 1, "DispatchDelegate"),
            "/lib",
            "NPU",
            DelegateUse("NPU", False, "all", None, 1, 1, 1),
        ),
    ],
)
def test_what_an_accelerator_runs(between, libraries, name, use):
    log = parse_log(both(between=between, libraries=libraries))
    assert next(one for one in log.delegates if one.name == name) == use
    assert log.unapplied_delegates == ()


def test_an_npu_that_was_asked_for_and_runs_nothing():
    """The plugin's compilation failed, and the CPU took it all without an error."""
    silent = parse_log(both(between=partitioned(60, 60) + CPU, libraries="/lib"))
    assert silent.unapplied_delegates == ("NPU",)
    assert [use.name for use in silent.delegates] == ["XNNPACK"]
    nothing = parse_log(both(between=replacing(0, 60, "DispatchDelegate", 0), libraries="/lib"))
    assert nothing.unapplied_delegates == ("NPU",)


def test_a_profile_behind_the_table():
    (part,) = parse_log(both() + litert_program.profile()).profile
    assert (part.phase, part.average_us) == ("regular", 411.071)
    assert part.by_node_type()[0] == ("Conv (F32)", 1, 0.382, 1.0)
    with pytest.raises(ValueError, match="A profile is cut"):
        parse_log(both() + litert_program.profile()[:400])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "ERROR: [dispatch_delegate.cc:115] Failed to initialize Dispatch API: no library\n"
            "ERROR: Benchmarking failed.\n",
            "Received: 'Failed to initialize Dispatch API: no library'",
        ),
        # A build for use says no more than what it warned of.
        (
            "WARNING: All log messages before absl::InitializeLog() is called are written\n"
            "WARNING: [gpu_registry.cc:130] GPU accelerator could not be loaded and registered.\n"
            "ERROR: Benchmarking failed.\n",
            "Received: 'GPU accelerator could not be loaded and registered.'",
        ),
    ],
)
def test_a_failed_run_says_why(text, reason):
    with pytest.raises(ValueError, match=re.escape("with exit code 1")) as caught:
        parse_log(litert_program.loading("m.tflite") + text, exit_code=1)
    assert reason in str(caught.value) and "\n" not in str(caught.value)


def test_every_cut_is_noticed_or_harmless():
    """Cut at any character, a log is refused or still gives the very same figures."""
    stdout, stderr = outputs(between=CPU)
    for text in (stdout + stderr, stderr + stdout):
        whole = parse_log(text)
        accepted = 0
        for length in range(0, len(text), 3):
            try:
                cut = parse_log(text[:length])
            except ValueError as error:
                assert "Received: " in str(error)
                continue
            if cut.regular.median_us is None:
                # The count lines are gone, and the coarser table stands by itself.
                assert cut.regular.avg_us == pytest.approx(whole.regular.avg_us, abs=5)
                continue
            accepted += 1
            assert (cut.regular, cut.init_us) == (whole.regular, whole.init_us)
        assert accepted < len(text) / 9


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("0.56 ms (5 runs)", "0.57 ms (5 runs)", "560.8 us on average by one line and 570 us"),
        ("0.56 ms (5 runs)", "0.56 ms (6 runs)", "counts 5 regular runs by one line and 6"),
        ("0.56 ms (5 runs)", "0.56 ms", "ends before its BENCHMARK RESULTS, or within them"),
        ("initialization: 4.48", "initialization: 9.48", "gives two times of initialization"),
        ("Overall footprint:    11.51 MB\n", "", "ends before its memory figures"),
    ],
)
def test_contradictions_are_refused(old, new, message):
    text = both()
    assert old in text
    with pytest.raises(ValueError, match=message):
        parse_log(text.replace(old, new))


def test_two_runs_are_not_one():
    with pytest.raises(ValueError, match="several runs"):
        parse_log(both() + both())
