"""Runs the notebook as it stands, as Jupyter would: `python -m tests.notebook_example`.

It begins in an empty folder, and every cell must run to its end. It takes minutes, most of them to
train for int8, and is a step of `.ci/run`.
"""

import os
import pathlib
import re
import sys
import tempfile
import time

import nbclient
import nbformat

ROOT = pathlib.Path(__file__).parents[1]
NOTEBOOK = ROOT / "examples" / "finetune_to_phone.ipynb"
CELL_SECONDS = 1800
MIN_AGREEMENT = 0.9


def execute(folder: pathlib.Path) -> str:
    """What the notebook prints to stdout in a folder; how long cells take goes to stderr.

    Raises:
        nbclient.exceptions.CellExecutionError: If a cell fails.
    """
    notebook = nbformat.read(NOTEBOOK, 4)
    client = nbclient.NotebookClient(
        notebook, timeout=CELL_SECONDS, resources={"metadata": {"path": os.fspath(folder)}}
    )
    with client.setup_kernel():
        for number, cell in enumerate(notebook.cells):
            begun = time.monotonic()
            client.execute_cell(cell, number)
            if cell.cell_type == "code":
                line = cell.source.strip().splitlines()[-1]
                print(f"{time.monotonic() - begun:6.1f} s  {line}", file=sys.stderr, flush=True)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "".join(output["text"] for output in outputs if output.get("name") == "stdout")


def complaint(printed: str, folder: pathlib.Path) -> str | None:
    """What the reader was promised and did not get."""
    if not (folder / "mine_int8.tflite").is_file():
        return "it made no mine_int8.tflite"
    if not re.search(r"^integer-only; ", printed, re.M):
        return "the file is not integer-only"
    agreement = re.search(r"^output of .*\n.*\nmine_int8\.tflite +\d+ +([\d.]+)%", printed, re.M)
    shares = re.findall(r"^int8 +[\d.]+ [kM]B +[\d.]+% +([\d.]+)%", printed, re.M)
    if not agreement or not shares:
        return "it printed no agreement"
    least = min(float(agreement[1]), *map(float, shares))
    if least < 100 * MIN_AGREEMENT:
        return f"the file and the Keras model agree on {least:.1f} % of the photos"
    if " is a " not in printed:
        return "the last cell named no class"
    return None


def main() -> None:
    """Runs it; exit code 1 if it does not give what it promises."""
    os.environ["PYTHONPATH"] = os.fspath(ROOT)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        printed = execute(folder)
        if wrong := complaint(printed, folder):
            print(printed, file=sys.stderr)
            raise SystemExit(f"error: {wrong}")


if __name__ == "__main__":
    main()
