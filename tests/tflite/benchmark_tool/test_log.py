import pathlib

import pytest

from tflite.benchmark_tool.log import parse_log

LOGS = pathlib.Path(__file__).parents[1] / "benchmark_model_logs"

# The format of releases around 1.13: no first inference, "no stats", no percentiles, no level.
RELEASE_1_13 = """STARTING!
Num threads: [1]
Graph: [net_quant.tflite]
Use nnapi : [0]
Loaded model net_quant.tflite
resolved reporter
Initialized session in 4.5ms
Running benchmark for at least 1 iterations and at least 0.5 seconds
count=3 first=146161 curr=141000 min=140500 max=146161 avg=142554 std=2552

Running benchmark for at least 50 iterations and at least 1 seconds
count=50 first=137789 curr=137254 min=137079 max=143416 avg=137722 std=896

Average inference timings in us: Warmup: 142554, Init: 4500, no stats: 137722
"""
# Around 2.2: percentiles are still missing, memory has another name.
RELEASE_2_2 = """STARTING!
Duplicate flags: num_threads
Log parameter values verbosely: [0]
Graph: [/data/local/tmp/net.tflite]
#threads used for CPU inference: [4]
Use gpu : [1]
Loaded model /data/local/tmp/net.tflite
INFO: Created TensorFlow Lite delegate for GPU.
INFO: Replacing 70 node(s) with delegate (TfLiteGpuDelegateV2) node, yielding 3 partitions.
INFO: Initialized OpenCL-based API.
Applied GPU delegate, and the model graph will be partially executed w/ the delegate.
The input model file size (MB): 7.07479
Initialized session in 870.557ms.
Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding \
150 seconds.
count=1 curr=2732148

Running benchmark for at least 50 iterations and at least 1 seconds but terminate if exceeding \
150 seconds.
count=50 first=2653894 curr=2709263 min=2640862 max=3025403 avg=2.71985e+06 std=105101

Inference timings in us: Init: 870557, First inference: 2732148, Warmup (avg): 2.73215e+06, \
Inference (avg): 2.71985e+06
Note: as the benchmark tool itself affects memory footprint, the following is only APPROXIMATE \
to the actual memory footprint of the model at runtime. Take the information at your discretion.
Peak memory footprint (MB): init=0 overall=12.8672
"""
LOGCAT = "05-30 15:16:44.857  3380  3380 I tflite  : "
OLD_LOGCAT = "07-08 15:33:58.992 I/tflite  ( 5395): "


def read(name):
    return (LOGS / f"{name}.log").read_text()


def test_every_figure_of_a_run():
    log = parse_log(read("run_04_peakmem_small_conv_f32"))
    assert (log.model, log.model_size_mb, log.threads) == ("small_conv_f32.tflite", 0.024264, None)
    assert (log.init_us, log.first_inference_us) == (919, 130)
    assert (log.warmup.count, log.warmup.first_us, log.warmup.avg_us) == (4992, 130, 99.6833)
    regular = log.regular
    assert (regular.count, regular.first_us, regular.last_us) == (10108, 96, 96)
    assert (regular.min_us, regular.max_us, regular.std_us) == (94, 1987, 34)
    assert regular.avg_us == 98.4786
    assert (regular.p5_us, regular.median_us, regular.p95_us) == (95, 95, 107)
    assert (log.memory_init_mib, log.memory_overall_mib) == (3.36719, 3.86719)
    assert log.peak_memory_mib == 9.78125
    assert (log.warnings, log.errors, log.profile) == ((), (), ())


def test_what_was_not_measured_is_none_not_zero():
    log = parse_log(read("run_01_default_small_conv_f32"))
    assert log.peak_memory_mib is None
    dry = parse_log(read("run_14_dry_run"))
    assert dry.init_us == 16389 and dry.first_inference_us is None
    assert dry.regular.count == dry.warmup.count == 0
    assert dry.regular.median_us is None and dry.regular.p95_us is None


def test_all_runs_alike():
    regular = parse_log(read("run_17_unknown_flag")).regular
    assert (regular.count, regular.min_us, regular.avg_us, regular.max_us) == (5, 95, 95, 95)
    assert (regular.median_us, regular.std_us) == (95, 0)


def test_threads_of_a_profiled_run():
    log = parse_log(read("run_02_profile_t2_small_conv_f32"))
    assert log.threads == 2
    assert [(part.phase, len(part.ops)) for part in log.profile] == [
        ("initialization", 2),
        ("regular", 7),
    ]
    # Not the profile's own summary, which has a "count=" of its own.
    assert log.regular.avg_us == 191.531 and log.profile[1].average_us == 148.929


def test_a_delegate_the_build_lacks_is_seen():
    log = parse_log(read("run_08_gpu"))
    assert log.unapplied_delegates == ("GPU",)
    assert log.unconsumed_flags == ("--use_gpu=true",)
    assert log.warnings == ("Unconsumed cmdline flags: --use_gpu=true",)
    assert [use.name for use in log.delegates] == ["XNNPACK"]
    # Any other unknown flag is no delegate.
    assert parse_log(read("run_17_unknown_flag")).unapplied_delegates == ()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("run_06_missing", "Could not open 'does_not_exist.tflite'."),
        ("run_07b_truncated", "The model is not a valid Flatbuffer buffer"),
        ("run_09c_nograph", "Please specify the name of your TF Lite input file"),
        ("run_15_list_signatures", "Benchmarking failed"),
        ("run_24_full_delegation", "Disallowed CPU fallback detected."),
        ("run_27_threads_m5", "num_threads should be >= 0"),
    ],
)
def test_a_failed_run_says_why(name, reason):
    with pytest.raises(ValueError) as caught:
        parse_log(read(name))
    assert reason in str(caught.value) and "Received: " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_exit_code_is_a_failure_whatever_was_printed():
    text = read("run_01_default_small_conv_f32")
    with pytest.raises(ValueError, match="failed with exit code 134"):
        parse_log(text, exit_code=134)


def test_old_releases():
    log = parse_log(RELEASE_1_13)
    assert (log.init_us, log.first_inference_us, log.threads) == (4500, 146161, 1)
    assert (log.regular.avg_us, log.regular.median_us) == (137722, None)
    assert log.delegates == () and log.unapplied_delegates == ()
    assert log.memory_overall_mib is None

    log = parse_log(RELEASE_2_2)
    assert (log.init_us, log.first_inference_us) == (870557, 2732148)
    assert log.warmup.avg_us == 2732148 and log.regular.avg_us == 2719850
    assert (log.memory_init_mib, log.memory_overall_mib) == (0, 12.8672)
    gpu = log.delegates[0]
    assert (gpu.name, gpu.coverage, gpu.delegated_nodes, gpu.partitions) == ("GPU", "part", 70, 3)
    assert log.unapplied_delegates == ()


@pytest.mark.parametrize("prefix", ["", LOGCAT, OLD_LOGCAT, "INFO: ", "\x1b[A"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r\r\n"])
def test_the_same_from_logcat_and_over_adb(prefix, end):
    plain = read("run_10b_profile_small_conv_int8").replace("INFO: ", "")
    expected = parse_log(plain)
    if prefix == "\x1b[A":
        # What a pressed key leaves in front of a line.
        text = plain.replace("count=9364 first=146", prefix + "count=9364 first=146")
    else:
        text = "".join(prefix + line + end for line in plain.splitlines())
    assert parse_log(text) == expected


@pytest.mark.parametrize(
    "line",
    [
        "05-31 10:38:42.512 22206 22206 {} {}  : {}",
        "{}/{}  (22206): {}",
        "2025-06-14 10:55:20.801 18088-18088 {1:24}org.tensorflow.lite.benchmark  {0}  {2}",
    ],
)
@pytest.mark.parametrize("tag", ["tflite", "litert"])
def test_levels_in_the_forms_of_logcat(line, tag):
    messages = (("I", "All is well"), ("E", "UNPACK: not supported"), ("W", "Too slow"))
    said = "\n".join(line.format(letter, tag, message) for letter, message in messages)
    log = parse_log(said + "\n" + RELEASE_2_2)
    assert (log.errors, log.warnings) == (("UNPACK: not supported",), ("Too slow",))


def test_unknown_lines_and_the_order_of_outputs_do_not_matter():
    text = read("run_21_csv_no_file")
    stdout, stderr = text.split("----- stderr -----")
    assert parse_log(stderr + stdout) == parse_log(text)
    noisy = "\n".join(f"{line}\nVERBOSE: pool=3" for line in RELEASE_2_2.splitlines())
    assert parse_log(noisy) == parse_log(RELEASE_2_2)
    newer = RELEASE_2_2.replace(" std=105101", " std=105101 p5=2640870 median=2709263 p99=3025403")
    assert parse_log(newer).regular.median_us == 2709263


def test_every_cut_is_noticed_or_harmless():
    """Cut at any character, a log is refused or still gives the very same figures."""
    for text in (read("run_02_profile_t2_small_conv_f32"), read("run_14_dry_run"), RELEASE_1_13):
        whole = parse_log(text)
        accepted = 0
        for length in range(0, len(text), 1 if len(text) < 2000 else 29):
            try:
                cut = parse_log(text[:length])
            except ValueError as error:
                assert "Received: " in str(error)
                continue
            accepted += 1
            assert (cut.regular, cut.warmup, cut.init_us) == (
                whole.regular,
                whole.warmup,
                whole.init_us,
            )
            assert cut.profile == whole.profile[: len(cut.profile)]
        assert accepted < len(text)
    middle = text.index("Average inference")
    with pytest.raises(ValueError, match="no line 'Inference timings in us'.*avg=137722"):
        parse_log(text[:middle])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("avg=137722", "avg=137922", "137922 us on average by one line and 137722"),
        ("min=137079", "min=837079", "cut or damaged line"),
        ("no stats: 137722", "no st", "has a cut line 'Inference timings in us'"),
        ("count=", "cnt=", "has no 'count=' line"),
        ("std=896\n", "std=896\ncount=7 curr=3\n", "3 'count=' lines"),
        ("no stats: 137722", "no stats: 137722\nInference timings in us: Init: 1", "holds 2 runs"),
    ],
)
def test_contradictions_are_refused(old, new, message):
    assert old in RELEASE_1_13
    with pytest.raises(ValueError, match=message):
        parse_log(RELEASE_1_13.replace(old, new))


@pytest.mark.parametrize(
    ("text", "quoted"), [("", "no output"), ("Segmentation fault\n", "Segmentation fault")]
)
def test_what_is_no_log_is_quoted(text, quoted):
    with pytest.raises(ValueError, match=f"no line 'Inference timings in us'.*{quoted}"):
        parse_log(text)
    with pytest.raises(ValueError, match="Received"):
        parse_log("\x00\ufffd\x1b[2J" * 400)


@pytest.mark.parametrize(
    ("old", "new"),
    [("count=10108", f"count={'9' * 400}"), ("count=10108", f"count={'9' * 5000}")],
)
def test_counts_beyond_all_measure(old, new):
    with pytest.raises(ValueError, match="has a cut or damaged line") as error:
        parse_log(read("run_04_peakmem_small_conv_f32").replace(old, new))
    assert len(str(error.value)) < 1000


def test_numbers_beyond_all_measure_are_not_told():
    log = parse_log(f"Num threads: [{'9' * 5000}]\n{read('run_04_peakmem_small_conv_f32')}")
    assert log.threads is None


def test_what_a_terminal_would_obey_is_not_quoted():
    with pytest.raises(ValueError, match="has no line") as error:
        parse_log("\x1b]0;title\x07\0\u202e gone")
    assert str(error.value).isprintable() and "\\x" not in str(error.value)


def test_a_graph_without_a_name():
    assert parse_log(RELEASE_1_13.replace("[net_quant.tflite]", "[]")).model is None
