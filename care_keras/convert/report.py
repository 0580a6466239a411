"""Where int8 loses what: a folder that says so, for someone whose accuracy fell."""

import dataclasses
import json
import math
import os
import pathlib
from collections.abc import Mapping

import numpy as np

from care_keras.console.optional import require
from care_keras.console.table import format_table
from care_keras.emit.network import emit_tflite
from care_keras.files import write_atomically
from care_keras.litert.layer_runner import LayerDifference, LayerRunner, layer_differences
from care_keras.metrics import finite_or_none
from care_keras.pictures import COLORS, new_figure, save_figure
from care_keras.primitives.deploy_model import DeployModel
from care_keras.primitives.int8 import Output
from care_keras.tflite_file.finding import Finding

FILES = ("report.json", "report.txt", "layers.png")
_WORST = 10


def write_report(
    folder: str | os.PathLike,
    name: str,
    quantized_form: DeployModel,
    findings: list[Finding],
    inputs: Mapping[str, np.ndarray],
    size: tuple[int | None, int | None] = (None, None),
) -> list[LayerDifference]:
    """Compares every layer of an int8 file with the float network that it rounds.

    Writes `report.json`, all figures; `report.txt`, the ten worst layers and
    what the audit found; `layers.png`, a picture of all layers.

    Args:
        folder: Where to.
        name: Name of the file, for headings.
        quantized_form: What it was written from.
        findings: Of the audit.
        inputs: What it takes, `(examples, ...)` for each of its inputs, by name.
        size: Height and width of images, for inputs that leave them open.

    Returns:
        The ten layers with the lowest signal-to-noise ratio, the worst first.

    Raises:
        MissingDependencyError: If matplotlib is not installed.
        OSError: If a file cannot be written.
    """
    require("matplotlib", "report")
    folder = pathlib.Path(folder)
    reference, file = (
        LayerRunner(
            emit_tflite(
                quantized_form,
                size,
                all_tensors=True,
                rounded=rounded,
            )
        )
        for rounded in (False, True)
    )
    found = {layer.name: layer for layer in layer_differences(reference, file, inputs)}
    # In the order they run; what only moves numbers says nothing new, and places have no noise.
    differences = [
        found[layer.name]
        for layer in quantized_form.layers
        if layer.name in found and not layer.keeps_values
        if layer.int8.output is not Output.INTEGER
    ]
    worst = sorted(differences, key=lambda layer: layer.snr_db)[:_WORST]
    count = len(next(iter(inputs.values())))
    content = {
        "file": name,
        "images": count,
        "layers": [
            {**dataclasses.asdict(layer), "snr_db": finite_or_none(layer.snr_db)}
            for layer in differences
        ],
        "worst_layers": [layer.name for layer in worst],
        "audit": [dataclasses.asdict(finding) for finding in findings],
    }
    write_atomically(folder / "report.json", json.dumps(content, indent=2) + "\n")
    write_atomically(folder / "report.txt", _text(name, worst, findings, count))
    _draw(differences, worst, folder / "layers.png", name)
    return worst


def worst_table(worst: list[LayerDifference]) -> str:
    """The worst layers as text."""
    rows = [[x.name, f"{x.snr_db:.1f} dB", f"{x.max_difference:.4g}"] for x in worst]
    return format_table(["layer", "SNR", "largest difference"], rows)


def _text(name, worst, findings, count):
    audit = [f"{x.severity}: {x.message}" for x in findings] or ["nothing: it is integer-only"]
    return (
        f"{name}: int8 against the float network that it rounds, on {count} examples\n\n"
        f"{worst_table(worst)}\n\nThe audit found\n" + "\n".join(audit) + "\n"
    )


def _draw(differences, worst, path, name):
    figure = new_figure(10, 7)
    line, bars = figure.subplots(2, 1, height_ratios=(3, 2))
    finite = [(i, x.snr_db) for i, x in enumerate(differences) if math.isfinite(x.snr_db)]
    places = {x.name: i for i, x in enumerate(differences)}
    line.plot(*zip(*finite, strict=True), color=COLORS[0], linewidth=1, marker=".", markersize=3)
    line.plot(
        [places[x.name] for x in worst],
        [x.snr_db for x in worst],
        "o",
        color=COLORS[3],
        fillstyle="none",
        label=f"the {len(worst)} worst",
    )
    line.set(
        xlabel="layer, in the order they run", ylabel="SNR in dB", title=f"{name} against float"
    )
    line.grid(alpha=0.3)
    line.legend()
    bars.barh([x.name for x in worst], [x.snr_db for x in worst], color=COLORS[3])
    bars.invert_yaxis()
    bars.set(xlabel="SNR in dB")
    save_figure(figure, path)
