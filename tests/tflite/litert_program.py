"""What LiteRT's own benchmark_model prints, composed by the format strings of its source.

No such program was to be had. The strings are those of LiteRT 2.2.0:
`litert/tools/benchmark_litert_model.h` and `.cc` and `_main.cc`, the base class in
`tflite/tools/benchmark/benchmark_model.cc`, `litert/runtime/compiled_model.cc`,
`litert/compiler/plugin/compiler_plugin.cc`, `tflite/core/subgraph.cc`. `LITERT_LOG` writes to
stderr with the place in the source, `TFLITE_LOG` of the tools to stdout (errors to stderr).
"""

from collections.abc import Sequence

# Flags and defaults, base class first, then its own; a tab stands before each.
FLAGS = {
    "num_runs": "50",
    "min_secs": "1",
    "max_secs": "150",
    "run_delay": "-1",
    "num_threads": "-1",
    "warmup_runs": "1",
    "warmup_min_secs": "0.5",
    "verbose": "false",
    "dry_run": "false",
    "report_peak_memory_footprint": "false",
    "graph": "",
    "signature_to_run_for": "",
    "use_cpu": "true",
    "use_gpu": "false",
    "use_npu": "false",
    "dispatch_library_path": "",
    "compiler_plugin_library_path": "",
    "compiler_cache_path": "",
    "require_full_delegation": "false",
    "use_profiler": "false",
    "enable_perfetto": "false",
    "gpu_backend": "",
    "gpu-precision": "auto",
    "gpu_low_priority": "false",
    "result_file_path": "",
    "model_runtime_info_output_file": "",
    "mediatek_nerun_pilot_version": "version8",
    "input_layer_value_range": "",
    "enable_weight_sharing": "false",
    "convert_weights_on_gpu": "false",
    "xnnpack_weight_cache_file_path": "",
}


def help_outputs(without: Sequence[str] = ()) -> tuple[str, str]:
    """stdout and stderr of `--help`, which ends with exit code 0."""
    lines = [
        f"\t--{name}={default:<30}\tstring\toptional\tof {name}"
        for name, default in FLAGS.items()
        if name not in without
    ]
    vendor = "    --qualcomm_log_level (QNN log level.); default: off;\n"
    stdout = f"\n  NPU Vendor Flags from LiteRT:\n{vendor}\nINFO: STARTING!\n"
    return stdout, "ERROR: usage: benchmark_model <flags>\nFlags:\n" + "\n".join(lines) + "\n\n"


def count_line(samples: Sequence[int]) -> str:
    """`StatWithPercentiles::OutputToStream`, of both programs."""
    if not samples:
        return "count=0 p5=0 median=0 p95=0"
    ordered = sorted(samples)
    # As `StatWithPercentiles::percentile` picks them.
    p5, median, p95 = (ordered[len(ordered) * percent // 100] for percent in (5, 50, 95))
    percentiles = f"p5={p5} median={median} p95={p95}"
    if ordered[0] == ordered[-1]:
        same = "(all same)" if len(samples) > 1 else ""
        return f"count={len(samples)} curr={samples[-1]}{same} {percentiles}"
    mean = sum(samples) / len(samples)
    deviation = (sum((one - mean) ** 2 for one in samples) / len(samples)) ** 0.5
    return (
        f"count={len(samples)} first={samples[0]} curr={samples[-1]} "
        f"min={ordered[0]} max={ordered[-1]} avg={mean:g} std={deviation:.0f} {percentiles}"
    )


def table(
    init_us: float,
    warmup: Sequence[int],
    regular: Sequence[int],
    init_mib: float = 8.94,
    overall_mib: float = 11.51,
    peak_mib: float | None = None,
) -> str:
    """What its own `BenchmarkLoggingListener` writes to stderr."""

    def average(samples):
        return sum(samples) / len(samples) if samples else float("nan")

    lines = [
        (89, "\n========== BENCHMARK RESULTS =========="),
        (91, "Signature name:       serving_default"),
        (94, f"Model initialization: {init_us / 1e3:.2f} ms"),
        (95, f"Warmup (first):       {(warmup[0] if warmup else 0) / 1e3:.2f} ms"),
        (97, f"Warmup (avg):         {average(warmup) / 1e3:.2f} ms ({len(warmup)} runs)"),
        (99, f"Inference (avg):      {average(regular) / 1e3:.2f} ms ({len(regular)} runs)"),
    ]
    if regular:
        mean = average(regular)
        deviation = (sum((one - mean) ** 2 for one in regular) / len(regular)) ** 0.5
        lines += [
            (103, f"Inference (min):      {min(regular) / 1e3:.2f} ms"),
            (105, f"Inference (max):      {max(regular) / 1e3:.2f} ms"),
            (107, f"Inference (std):      {deviation / 1e3:.2f}"),
            (115, "Throughput:           123.46 MB/s"),
        ]
    else:
        lines += [
            (110, "No inference runs were performed."),
            (117, "No throughput data available (throughput <= 0)."),
        ]
    lines += [
        (124, "\nMemory Usage:"),
        (125, f"Init footprint:       {init_mib:.2f} MB"),
        (127, f"Overall footprint:    {overall_mib:.2f} MB"),
        (134, "Peak memory usage not available. (peak_mem_mb <= 0)")
        if peak_mib is None
        else (132, f"Peak memory:          {peak_mib:.2f} MB"),
        (138, "======================================\n"),
    ]
    return "".join(f"INFO: [benchmark_litert_model.h:{line}] {text}\n" for line, text in lines)


def replacing(taken: int, nodes: int, delegate: str, parts: int = 1) -> str:
    """What the runtime says of each accelerator on Android, and in debug builds elsewhere."""
    return (
        f"VERBOSE: Replacing {taken} out of {nodes} node(s) with delegate ({delegate}) node, "
        f"yielding {parts} partitions for subgraph 0 (main).\n"
    )


def partitioned(selected: int, total: int, parts: int = 1) -> str:
    """What the runtime says of a graph that a compiler plugin took from."""
    return (
        f"INFO: [compiler_plugin.cc:738] Partitioned subgraph<0>, selected {selected} ops, from a "
        f"total of {total} ops. resulted in {parts} partitions.\n"
        "INFO: [compiled_model.cc:1248] 1 compiler plugins were applied successfully: Vendor\n"
    )


def profile() -> str:
    """What `--use_profiler` adds to stderr: the summary of a graph of two operations."""
    return (
        "INFO: [benchmark_litert_model.h:192] \n"
        "============================== Run Order ==============================\n"
        "\t      [node type]\t  [first]\t [avg ms]\t     [%]\t  [cdf%]\t  [mem KB]\t[times called]"
        "\t[Name]\n"
        "\t  AllocateTensors\t    0.291\t    0.291\t  0.022%\t  0.022%\t   452.000\t        0"
        "\tAllocateTensors/0\n"
        "\t       Conv (F32)\t    0.538\t    0.382\t 99.978%\t100.000%\t     0.000\t        1"
        "\tDelegate/Conv (F32):1\n\n"
        "Number of nodes executed: 2\n"
        "Timings (microseconds): count=3166 first=947 curr=406 min=390 max=947 avg=411.071 std=14\n"
        "Memory (bytes): count=0\n"
        "2 nodes observed\n"
    )


def loading(graph: str, libraries: str | None = None) -> str:
    """How a run begins on stderr."""
    text = "INFO: [environment.cc:36] Creating LiteRT environment with options\n"
    if libraries is not None:
        text += (
            f"INFO: [benchmark_litert_model.cc:200] dispatch_library_path: {libraries}\n"
            f"INFO: [benchmark_litert_model.cc:203] compiler_plugin_library_path: {libraries}\n"
            "INFO: [benchmark_litert_model.cc:206] compiler_cache_path: \n"
            "INFO: [npu_registry.cc:30] NPU accelerator registered.\n"
        )
    return text + f"INFO: [benchmark_litert_model.cc:230] Loading model from: {graph}\n"


def outputs(
    between: str = "",
    init_us: int = 4478,
    warmup: Sequence[int] = (1033, 470, 473),
    regular: Sequence[int] = (463, 442, 979, 459, 461),
    libraries: str | None = None,
    peak_mib: float | None = None,
    threads: int = 2,
) -> tuple[str, str]:
    """stdout and stderr of a run that ended well.

    Args:
        between: Lines of the accelerators.
        init_us: Time of initialization.
        warmup: Times of the warm-up runs.
        regular: Times of the regular runs.
        libraries: Folder of an NPU's libraries, for `--use_npu`.
        peak_mib: Peak memory, if it was asked for.
        threads: Threads asked for.
    """
    running = (
        "INFO: Running benchmark for at least {} iterations and at least {:g} seconds but "
        "terminate if exceeding 150 seconds.\nINFO: {}\n\n"
    )
    stdout = (
        "INFO: STARTING!\nINFO: Log parameter values verbosely: [0]\n"
        f"INFO: Num threads: [{threads}]\n"
        "INFO: The input model file size (MB): 3.27774\n"
        f"INFO: Initialized session in {init_us / 1e3:g}ms.\n"
        + running.format(1, 0.5, count_line(warmup))
        + running.format(50, 1, count_line(regular))
    )
    stderr = (
        loading("/data/local/tmp/m.tflite", libraries)
        + "INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n"
        + between
        + table(init_us, warmup, regular, peak_mib=peak_mib)
    )
    return stdout, stderr
