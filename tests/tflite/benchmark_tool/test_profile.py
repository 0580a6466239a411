import pathlib

import pytest

from tflite.benchmark_tool.profile import OpTime, parse_profile

LOGS = pathlib.Path(__file__).parents[1] / "benchmark_model_logs"
CSV = (LOGS / "op_profile_small_conv_f32.csv").read_text()
TABLES = (LOGS / "run_02_profile_t2_small_conv_f32.log").read_text()


def test_csv_with_bare_commas():
    initialization, regular = parse_profile(CSV)
    assert [op.node_type for op in initialization.ops] == [
        "ModifyGraphWithDelegate",
        "AllocateTensors",
    ]
    assert initialization.ops[0].memory_kb == 512 and initialization.average_us == 475
    assert len(regular.ops) == 7 and regular.average_us == 95.8264
    assert regular.ops[0] == OpTime(
        node_type="Convolution (NHWC, F32) IGEMM",
        name="Delegate/Convolution (NHWC, F32) IGEMM:0",
        first_ms=0.026,
        average_ms=0.0267934,
        percent=27.9604,
        memory_kb=0,
        calls=1,
    )
    # A number so small that it is printed with an exponent.
    assert regular.ops[3].average_ms == 2.38693e-05
    assert all(op.delegated for op in regular.ops)


def test_tables_and_csv_on_stdout():
    csv = parse_profile((LOGS / "run_21_csv_no_file.log").read_text())
    tables = parse_profile(TABLES)
    for ours, theirs in zip(csv, tables, strict=True):
        assert (ours.phase, [op.name for op in ours.ops]) == (
            theirs.phase,
            [op.name for op in theirs.ops],
        )
    assert tables[1].ops[0].average_ms == 0.041 and tables[1].ops[0].first_ms == 0.033


def test_sums_by_kind_are_the_tools_own():
    _, regular = parse_profile(TABLES)
    name, nodes, time_ms, share = regular.by_node_type()[0]
    assert (name, nodes) == ("Convolution (NHWC, F32) IGEMM", 2)
    assert time_ms == pytest.approx(0.120, abs=1e-9)
    assert share == pytest.approx(0.81633, abs=0.02)
    assert sum(row[3] for row in regular.by_node_type()) == pytest.approx(1)


def test_operations_that_no_delegate_took():
    text = (LOGS / "run_10b_profile_small_conv_int8.log").read_text()
    regular = parse_profile(text)[1]
    assert [op.node_type for op in regular.ops if not op.delegated] == ["SOFTMAX"]


OLD = """============================== Run Order ==============================
\t             [node type]\t  [start]\t  [first]\t [avg ms]\t     [%]\t  [cdf%]\t  [mem KB]\t\
[times called]\t[Name]
\t       DEPTHWISE_CONV_2D\t    0.000\t    0.802\t    0.719\t 45.131%\t 45.131%\t     0.000\t\
        1\t[Relu6]
\t         FULLY_CONNECTED\t    0.719\t    0.848\t    0.849\t 54.869%\t100.000%\t     0.000\t\
        2\t[a, b 3]

Number of nodes executed: 2
Timings (microseconds): count=50 curr=1568(all same)
Memory (bytes): count=0
2 nodes observed
"""


def test_the_column_of_old_releases():
    (profile,) = parse_profile(OLD)
    assert (profile.phase, profile.average_us) == ("regular", 1568)
    assert profile.ops[1] == OpTime("FULLY_CONNECTED", "[a, b 3]", 0.848, 0.849, 54.869, 0, 2)
    assert profile.by_node_type()[0][2] == pytest.approx(2 * 0.849)
    # As pasted from a terminal.
    assert parse_profile(OLD.expandtabs(4)) == (profile,)


def test_subgraphs_and_a_delegates_own_table():
    body = OLD.replace("2 nodes observed\n", "2 nodes observed\n\n")
    text = (
        "Operator-wise Profiling Info for Regular Benchmark Runs:\n"
        f"Primary graph (name: main) profile:\n{body}"
        f"Subgraph (index: 1, name: body) profile:\n"
        f"{body.replace('Timings', 'Subgraph (index: 1, name: body) Timings')}"
        f"Delegate internal: \n{body}"
    )
    assert [part.part for part in parse_profile(text)] == [
        "Primary graph (name: main)",
        "Subgraph (index: 1, name: body)",
        "Delegate internal",
    ]


def test_shares_of_a_run_that_took_no_time():
    (profile,) = parse_profile(OLD.replace("45.131%", "-nan%"))
    assert profile.ops[0].percent is None


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        (CSV[: CSV.rindex("Mean (ND) Reduce2, 0, 2") + 23], "Mean \\(ND\\) Reduce2, 0, 2'"),
        (CSV[: CSV.rindex("7 nodes observed")], "cut after 7 rows"),
        (CSV[: CSV.index("Max Pooling")], "cut after 1 rows"),
        (OLD.replace("2 nodes observed", ""), "cut after 2 rows"),
        (OLD.replace("executed: 2", "executed: 3"), "says that 3 nodes were executed and lists 2"),
        (OLD.replace("[avg ms]", "[average]"), "lacks \\['avg ms'\\]"),
        (OLD.replace("0.802", "0.8o2"), "says that 2 nodes were executed and lists 1.*0.8o2"),
    ],
)
def test_cut_or_damaged(cut, message):
    with pytest.raises(ValueError, match=message) as caught:
        parse_profile(cut)
    assert "Received: " in str(caught.value)


def test_another_outputs_line_among_the_rows():
    text = OLD.replace(
        "\t         FULLY", "Created TensorFlow Lite XNNPACK delegate\n\t         FULLY"
    )
    assert parse_profile(text) == parse_profile(OLD)


def test_a_file_without_a_profile():
    assert parse_profile("STARTING!\n") == ()


@pytest.mark.parametrize("number", ["nan", "inf", "1e400"])
def test_a_row_without_a_time_is_no_row(number):
    text = "\n".join(
        [
            "============================== Run Order ==============================",
            "[node type]\t[first]\t[avg ms]\t[%]\t[cdf%]\t[mem KB]\t[times called]\t[Name]",
            f"ADD\t0.1\t{number}\t100%\t100%\t0\t1\t[a]:0",
            "",
            "Number of nodes executed: 1",
            "1 nodes observed",
        ]
    )
    with pytest.raises(ValueError, match="says that 1 nodes were executed and lists 0"):
        parse_profile(text)


def test_what_cannot_be_printed_is_not_quoted():
    header = "[node type]\t[first]\t[" + "\0" * 400 + "]\n"
    start = TABLES.index("[node type]")
    with pytest.raises(ValueError, match="lacks") as error:
        parse_profile(TABLES[:start] + header + TABLES[start:].partition("\n")[2])
    assert len(str(error.value)) < 500
