import pytest

from care_keras.console.table import format_table


def test_numbers_are_right_aligned_and_text_left():
    table = format_table(
        ("model", "parameters", "top-1"), [("s0", 7340000, "78.4 %"), ("nano", 790468, "9.25 %")]
    )
    assert table.splitlines() == [
        "model  parameters   top-1",
        "-----  ----------  ------",
        "s0      7,340,000  78.4 %",
        "nano      790,468  9.25 %",
    ]


def test_sizes_and_names_with_digits_are_text():
    lines = format_table(("input", "x"), [("224x224", 1), ("32x32", 10)]).splitlines()
    assert lines[2:] == ["224x224   1", "32x32    10"]


def test_cells_of_every_type():
    row = (1234567, 0.123456, True, None, "-1.04x")
    assert format_table("abcde", [row]).splitlines()[2].split() == [
        "1,234,567",
        "0.1235",
        "yes",
        "-",
        "-1.04x",
    ]


def test_a_missing_number_keeps_its_column_right_aligned():
    assert format_table(("ms",), [(12.5,), (None,)]).splitlines()[2:] == ["12.5", "   -"]


def test_no_rows_and_no_trailing_spaces():
    assert format_table(("a", "bc"), []) == "a  bc\n-  --"
    lines = format_table(("a", "note"), [(1, "long text"), (2, "")]).splitlines()
    assert all(line == line.rstrip() for line in lines)


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError, match=r"needs 2 cells.*Received: row=\[1\]"):
        format_table(("a", "b"), [(1,)])
