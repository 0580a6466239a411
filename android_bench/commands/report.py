"""Reports a run: `python -m android_bench report run.jsonl --html=run.html`."""

from absl import flags

from android_bench.records import read_records
from android_bench.report.contents import as_csv, as_json, evaluate, text
from android_bench.report.page import page
from care_keras.console import cli
from care_keras.console.outputs import write_output

_HTML = flags.DEFINE_string("html", None, "Also write one self-contained HTML page, with pictures.")
_CSV = flags.DEFINE_string("csv", None, "Also write a CSV file, a line for each cell.")
_OUTPUT_JSON = flags.DEFINE_string("output_json", None, "Also write everything as JSON.")
# What it was called before it had the name that other commands give it.
flags.DEFINE_alias("json", "output_json")


def main(path: str) -> None:
    """The command."""
    records = read_records(path)
    report = evaluate(records)
    print(f"{text(report)}\n")
    for flag, make in (
        (_HTML, lambda: page(report, records)),
        (_CSV, lambda: as_csv(report)),
        (_OUTPUT_JSON, lambda: as_json(report)),
    ):
        if flag.value:
            write_output(flag.value, make())


def start() -> None:
    """Runs it as the program."""
    cli.run(main, ["the file of a run"], input_errors=(ValueError,))
