"""How Vela's files and words are read and judged, without Vela."""

import dataclasses

import pytest

from care_keras.tflite_file import read_graph
from tests.tflite.several_ends import keras_file
from tflite.audit.ethos_u.check import judge
from tflite.audit.ethos_u.records import Compilation, Estimate, EthosUAudit, LeftOperator
from tflite.audit.ethos_u.text import ethos_u_cell, ethos_u_failures, format_ethos_u
from tflite.audit.ethos_u.vela import COMMAND_STREAM, Output, read_summary

COLUMNS = {
    "system_config": "Ethos_U65_Client_Server",
    "memory_mode": "Dedicated_Sram_384KB",
    "core_clock": "1000000000.0",
    "inference_time": "0.0025",
    "sram_memory_used": "1.5",
    "dram_memory_used": "2.0",
    "on_chip_flash_memory_used": "0.0",
    "off_chip_flash_memory_used": "0.25",
    "cycles_npu": "2000000",
    "cycles_total": "2500000.0",
}


def summary(tmp_path, columns):
    path = tmp_path / "summary.csv"
    path.write_text(f"{','.join(columns)}\n{','.join(columns.values())}\n")
    return path


def test_a_summary_is_read_in_bytes_cycles_and_milliseconds(tmp_path):
    assert read_summary(summary(tmp_path, COLUMNS)) == Estimate(
        cycles=2_500_000,
        npu_cycles=2_000_000,
        inference_ms=2.5,
        clock_hz=1e9,
        system_config="Ethos_U65_Client_Server",
        memory_mode="Dedicated_Sram_384KB",
        memory_bytes={"sram": 1536, "dram": 2048, "on_chip_flash": 0, "off_chip_flash": 256},
    )


@pytest.mark.parametrize("column", COLUMNS)
def test_a_summary_without_a_column_is_told(tmp_path, column):
    columns = {name: value for name, value in COLUMNS.items() if name != column}
    with pytest.raises(ValueError, match=f"nothing to read in '{column}'. Received: the columns"):
        read_summary(summary(tmp_path, columns))


def test_an_empty_summary_is_told(tmp_path):
    (tmp_path / "summary.csv").write_text("")
    with pytest.raises(ValueError, match="not as it was"):
        read_summary(tmp_path / "summary.csv")


def test_what_is_wrong_with_a_summary_is_one_line(tmp_path):
    (tmp_path / "summary.csv").write_text('core_clock,"a\nb",cycles_total\n1,2')
    with pytest.raises(ValueError, match="not as it was") as error:
        read_summary(tmp_path / "summary.csv")
    assert str(error.value).isprintable()


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    path = tmp_path_factory.mktemp("judged") / "model.tflite"
    path.write_bytes(keras_file("int8"))
    return read_graph(path)


@pytest.mark.parametrize("left", [[], [0], [1, 3, 4], "all"])
def test_what_a_file_of_velas_leaves_is_on_the_cpu(graph, tmp_path, left):
    """Vela's file is made here: some operators of the first, and one of the NPU's."""
    operators = graph.operators
    kept = operators if left == "all" else [operators[index] for index in left]
    npu = dataclasses.replace(operators[0], name="CUSTOM", custom_code=COMMAND_STREAM)
    main = dataclasses.replace(graph.main, operators=tuple(kept if left == "all" else [*kept, npu]))
    written = dataclasses.replace(graph, subgraphs=(main,))
    macs = [index for index, _ in enumerate(operators)]
    estimate = read_summary(summary(tmp_path, COLUMNS))
    one = judge("ethos-u65-256", Output(written, {}, estimate), graph, macs)
    indices = [operator.index for operator in kept]
    assert one.on_npu == len(operators) - len(kept) and one.stretches == int(left != "all")
    assert [place.operator for place in one.on_cpu] == [operator.label for operator in kept]
    assert one.macs_on_npu == pytest.approx(1 - sum(indices) / sum(macs))
    assert (one.estimate is None) is (left == "all")


@pytest.mark.parametrize(
    ("on_npu", "macs", "min_share", "passed"),
    [
        (95, 1.0, 0.95, True),
        (94, 1.0, 0.95, False),
        (100, 0.94, 0.95, False),
        (100, None, 1.0, True),
        (0, 0.0, 0.0, True),
        (0, None, 0.01, False),
    ],
)
def test_both_shares_count(on_npu, macs, min_share, passed):
    one = Compilation("ethos-u55-32", operators=100, on_npu=on_npu, macs_on_npu=macs)
    assert one.passed(min_share) is passed
    failures = list(ethos_u_failures(EthosUAudit("5.2.0", False, (one,)), min_share))
    assert len(failures) == (not passed)


def test_accelerators_share_what_is_the_same():
    reason = "Operation has tensor with unsupported DataType Float32 ({})\nsecond line"
    left = [LeftOperator("GELU", f"gelu{n}", reason.format(f"raw{n}")) for n in (0, 1)]
    clip = LeftOperator("MINIMUM", "clip", None)
    kinds = {"ethos-u55-32": left, "ethos-u65-256": [*left, clip], "ethos-u85-128": left}
    compilations = [
        Compilation(name, operators=8, on_npu=8 - len(on_cpu), on_cpu=tuple(on_cpu))
        for name, on_cpu in kinds.items()
    ]
    audit = EthosUAudit("5.2.0", True, (*compilations, Compilation("ethos-u85-256", error="no")))
    text = format_ethos_u(audit)
    rows = [" ".join(line.split()) for line in text.splitlines()]
    assert (
        "GELU 2 gelu0 and 1 more all Operation has tensor with unsupported DataType Float32" in rows
    )
    assert "MINIMUM 1 clip ethos-u65-256 not said" in rows
    assert "ethos-u85-256 not known: no" in text
    assert [failure.partition(":")[0] for failure in ethos_u_failures(audit, 0.7)] == [
        "ethos-u65-256",
        "ethos-u85-256",
    ]
    assert ethos_u_cell(audit, "ethos-u55-32") == "75.0%"
    assert ethos_u_cell(audit, "ethos-u85-256") == "failed"
    assert ethos_u_cell(None, "ethos-u55-32") is None


@pytest.mark.parametrize("value", ["inf", "nan", "1e400", "x" * 200_000, "\udcff", ""])
@pytest.mark.parametrize("column", ["cycles_total", "sram_memory_used"])
def test_a_summary_of_no_numbers_is_told(tmp_path, column, value):
    path = summary(tmp_path, COLUMNS)
    text = path.read_text().replace(COLUMNS[column], value, 1)
    path.write_text(text, errors="surrogateescape")
    with pytest.raises(ValueError, match="^Vela's summary is") as error:
        read_summary(path)
    assert "\n" not in str(error.value) and len(str(error.value)) < 800
