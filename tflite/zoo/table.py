"""The rows of the zoo as a table, and what of them does not hold."""

import statistics

from care_keras.console.table import format_table

# Largest error of a float32 file, in units of its largest output.
_FLOAT_ERROR = 1e-4
_LATENCY = 1.03

_COLUMNS = (
    "model",
    "float32 error",
    "int8 SNR",
    "agrees",
    "min-max SNR",
    "agrees",
    "codes differ",
    "odd inputs failed",
    "float32 time",
    "int8 time",
    "converted in",
    "memory",
    "trains",
)


def text_table(rows: list[dict]) -> str:
    """The table for a terminal."""
    return format_table(list(_COLUMNS), [_cells(row) for row in rows])


def markdown_table(rows: list[dict]) -> str:
    """The table for a page."""
    lines = [_COLUMNS, ["---"] * len(_COLUMNS), *(_cells(row) for row in rows)]
    return "\n".join("| " + " | ".join(cell or "-" for cell in line) + " |" for line in lines)


def faults_of(row: dict) -> list[str]:
    """What of a row does not hold, a line each."""
    faults = [f"{step}: {error}" for step, error in row["errors"].items()]
    if row.get("float32_error", 0.0) > _FLOAT_ERROR:
        faults.append(f"float32 is {row['float32_error']:.1e} from Keras")
    if not row.get("integer_only", True):
        faults.append("int8 is not integer-only")
    for name, text in (("codes_that_differ", "codes differ"), ("failures", "odd inputs fail")):
        if row.get(name):
            faults.append(f"{row[name]} {text}")
    gain = row.get("int8_gain_db")
    if gain and gain[1] < 0.0:
        faults.append(
            f"int8 has {row['int8_snr_db']:.1f} dB, min-max {row['min_max_snr_db']:.1f} dB "
            f"(95 % interval of the difference {gain[0]:+.1f} to {gain[1]:+.1f})"
        )
    if _less(row.get("int8_agreement"), row.get("min_max_agreement")):
        faults.append(
            f"int8 agrees on {row['int8_agreement']:.0%}, min-max on {row['min_max_agreement']:.0%}"
        )
    for precision in ("float32", "int8"):
        ratio = row.get(f"{precision}_latency_ratio")
        if ratio and ratio[1] > _LATENCY:
            faults.append(f"{precision} takes {ratio[0]:.2f}x of TensorFlow's file")
    if row.get("trains") is False:
        faults.append("it does not train")
    return faults


def median_latencies(rows: list[dict]) -> dict[str, float]:
    """By precision, the median over models of the latency in units of TensorFlow's file."""
    found = {
        precision: [
            row[f"{precision}_latency_ratio"][0]
            for row in rows
            if f"{precision}_latency_ratio" in row
        ]
        for precision in ("float32", "int8")
    }
    return {precision: statistics.median(ratios) for precision, ratios in found.items() if ratios}


def _less(one, other):
    return one is not None and other is not None and one < other


def _cells(row):
    return [
        row["model"],
        _format(row.get("float32_error"), "{:.0e}"),
        _format(row.get("int8_snr_db"), "{:.1f} dB"),
        _format(row.get("int8_agreement"), "{:.0%}"),
        _format(row.get("min_max_snr_db"), "{:.1f} dB"),
        _format(row.get("min_max_agreement"), "{:.0%}"),
        _format(row.get("codes_that_differ"), "{}"),
        _odd(row),
        _ratio(row.get("float32_latency_ratio")),
        _ratio(row.get("int8_latency_ratio")),
        _format(row.get("seconds"), "{:.0f} s"),
        _format(row.get("peak_memory_gb"), "{:.2f} GB"),
        _format(row.get("trains"), "{}"),
    ]


def _format(value, pattern):
    return None if value is None else pattern.format(value)


def _odd(row):
    return f"{row['failures']} of {row['odd_inputs']}" if "failures" in row else None


def _ratio(values):
    return None if values is None else f"{values[0]:.2f}x ({values[1]:.2f} to {values[2]:.2f})"
