"""A comparison as text, as JSON, and as a verdict in one line."""

import dataclasses
import importlib.metadata
import math
import pathlib
import platform

import keras

from care_keras.console.table import format_table
from care_keras.litert.model import runtime_version
from care_keras.metrics import finite_or_none
from tflite.benchmark.machine import describe_machine, now
from tflite.compare.comparison import Comparison
from tflite.compare.layers import LayerComparison
from tflite.compare.opened import Pair
from tflite.compare.outputs import OutputComparison

SCHEMA = "care_keras.tflite.comparison/1"
_WORST = 10
_EXACT_DB = 120.0


def verdict(result: Comparison, min_agreement: float) -> str | None:
    """What does not hold, in one line, the layer to look at first; `None` if all holds."""
    layers = result.layers
    reasons = [
        reason for output in result.outputs for reason in _reasons(output, result, min_agreement)
    ]
    wrong = layers and layers.first_wrong
    if wrong:
        reasons.append(f"the first layer that goes wrong is {_fault(wrong, result.criterion)}")
    elif reasons and layers and layers.layers:
        most = min(layers.layers, key=lambda layer: layer.lost_here_db)
        reasons.append(
            f"no layer computes wrongly, most is lost in {most.name} ({most.operator}, "
            f"{_db(most.lost_here_db)})"
        )
    return ". ".join(reasons) or None


def _reasons(output, result, min_agreement):
    """What does not hold of one output."""
    reasons = []
    which = f" of {output.name}" if len(result.outputs) > 1 else ""
    if not math.isfinite(output.figures.max_difference):
        reasons.append(f"the file gives values{which} that are not finite")
    if output.agreement is not None and output.agreement < min_agreement:
        largest = f"the largest value{which}" if which else "the largest output"
        if output.figures.equal is not None:
            largest = f"the class{which}"
        reasons.append(
            f"{largest} agrees for {output.agreement:.2%} of the {result.unit}, "
            f"{min_agreement:.2%} are asked for"
        )
    ratio, least = output.figures.total_snr_db, result.criterion.min_snr_db
    if result.layers is None and output.agreement is None and ratio < least:
        # There is nothing else to judge by.
        reasons.append(f"the output{which} has an SNR of {_db(ratio)}, {least:g} dB are asked for")
    return reasons


def _fault(layer, criterion):
    own = layer.own
    where = f"{layer.name} ({layer.operator}, operator {layer.operator_index})"
    if own.equal is not None:
        return f"{where}: {own.equal:.2%} of its integers are equal"
    text = f"{where}: own SNR {_db(own.snr_db)}, {criterion.min_snr_db:g} dB are asked for"
    if own.wrong_channels:
        text += (
            f"; {own.wrong_channels} of {own.channels} channels are wrong, the worst is "
            f"{own.worst_channel} with {_db(own.worst_channel_snr_db)}"
        )
    return text


def format_comparison(pair: Pair, result: Comparison, all_layers: bool) -> str:
    """The tables, and what they are about."""
    parts = [_output_table(pair, result)]
    if result.layers is None:
        parts.append("layers: not compared, as the Keras model is no graph of layers")
        return "\n\n".join(parts)
    layers = list(result.layers.layers)
    title = f"all {len(layers)} layers, in the order they run"
    if not all_layers:
        first, count = result.layers.first_wrong, len(layers)
        layers = sorted(layers, key=lambda layer: (layer.own.right, layer.lost_here_db))[:_WORST]
        if first and first not in layers:
            layers = [first, *layers[:-1]]
        title = f"the {len(layers)} of {count} layers that lose most (--layers lists all)"
    parts += [f"{title}\n{_layer_table(layers)}", _notes(pair, result)]
    return "\n\n".join(parts)


def _output_table(pair, result):
    name = pathlib.Path(pair.path).name
    several = len(result.outputs) > 1
    quantized = any(one.figures.codes_equal is not None for one in result.outputs)
    headers = [f"output of {name}" if several else "output of", result.unit, "same largest"]
    if all(one.figures.equal is not None for one in result.outputs):
        headers[-1] = "same class"
    headers += ["95 % interval", "SNR", "largest difference"]
    headers += ["in codes", "codes equal"] if quantized else []
    rows = []
    for output in result.outputs:
        figures, interval = output.figures, output.agreement_interval
        row = [
            output.name if several else name,
            output.images,
            None if output.agreement is None else f"{output.agreement:.2%}",
            None if interval is None else f"{interval[0]:.2%} to {interval[1]:.2%}",
            _ratio(figures, figures.total_snr_db),
            None if figures.equal is not None else f"{figures.max_difference:.4g}",
        ]
        if quantized:
            equal = figures.codes_equal
            row += [figures.max_code_difference, None if equal is None else f"{equal:.2%}"]
        rows.append(row)
    return format_table(headers, rows)


def _layer_table(layers):
    quantized = any(layer.own.codes_equal is not None for layer in layers)
    headers = ["layer", "operator", "own SNR", "largest difference"]
    headers += ["in codes", "codes equal", "rounding SNR"] if quantized else []
    rows = []
    for layer in layers:
        own = layer.own
        row = [
            layer.name + ("" if own.right else "  WRONG"),
            f"{layer.operator_index} {layer.operator}",
            _ratio(own, own.snr_db),
            None if own.equal is not None else f"{own.max_difference:.4g}",
        ]
        if quantized:
            equal = own.codes_equal
            row += [
                own.max_code_difference,
                None if equal is None else f"{equal:.2%}",
                None if own.rounding_snr_db is None else _rounding(own.rounding_snr_db),
            ]
        rows.append([*row, _ratio(own, layer.snr_db)])
    return format_table([*headers, "SNR so far"], rows)


def _notes(pair, result):
    layers, examples = result.layers, f"{result.layer_images} {result.unit}"
    lines = [
        f"{len(layers.layers)} layers of the {result.reference} of {pair.keras_name}, on "
        f"{examples}. own: against the layer in",
        "Keras, given what the file has before it and rounded as the file rounds; so far: against "
        "Keras's own run",
    ]
    for names, what in (
        (layers.decomposed_differently, "are decomposed differently in the file"),
        (layers.misled, "have a tensor of their name that is another's"),
        (layers.undecided, "differ from a tensor of their name, which may be another's"),
    ):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            lines.append(f"not compared, as they {what}: {', '.join(names[:3])}{more}")
    lines += [
        f"XNNPACK runs {len(pair.delegation.delegated)} of {len(pair.file.operators)} operators. "
        "For its tensors the file was run operator by operator:",
        f"the same output to the bit on {result.layer_images_identical} of {examples}",
    ]
    return "\n".join(lines)


def to_dict(pair: Pair, result: Comparison, settings: dict, failure: str | None) -> dict:
    """Everything as plain JSON types.

    Args:
        pair: The models.
        result: What came of it.
        settings: How it was asked for.
        failure: The verdict.
    """
    layers = result.layers
    first = layers and layers.first_wrong
    return {
        "schema": SCHEMA,
        "date": now(),
        "machine": describe_machine(),
        "versions": {
            "python": platform.python_version(),
            "keras": keras.__version__,
            "keras_backend": keras.backend.backend(),
            "ai-edge-litert": runtime_version(),
            "numpy": importlib.metadata.version("numpy"),
        },
        "settings": settings,
        "kind": pair.kind,
        "passed": failure is None,
        "failure": failure,
        # Of several the worst.
        "output": _output(result.output),
        "outputs": [_output(output) for output in result.outputs],
        "inputs_of_noise": list(pair.noise_inputs),
        "criterion": dataclasses.asdict(result.criterion),
        "xnnpack_operators": len(pair.delegation.delegated),
        "operators": len(pair.file.operators),
        "layer_images": result.layer_images,
        "layer_images_with_identical_output": result.layer_images_identical,
        "reference_form": result.reference,
        "first_wrong_layer": first and first.name,
        "layers": None if layers is None else [_layer(layer) for layer in layers.layers],
        "decomposed_differently": list(layers.decomposed_differently) if layers else [],
        "misleading_names": list(layers.misled) if layers else [],
        "undecided": list(layers.undecided) if layers else [],
    }


def _output(output: OutputComparison):
    interval = output.agreement_interval
    return {
        "name": output.name,
        "images": output.images,
        "agreement": output.agreement,
        "agreement_interval_95": None if interval is None else list(interval),
        **_figures(output.figures),
    }


def _layer(layer: LayerComparison):
    return {
        "name": layer.name,
        "operator": layer.operator,
        "operator_index": layer.operator_index,
        "tensor": layer.tensor,
        "dtype": layer.dtype,
        "right": layer.own.right,
        "snr_so_far_db": None if layer.own.equal is not None else finite_or_none(layer.snr_db),
        "own": _figures(layer.own),
    }


def _figures(figures):
    rounding = figures.rounding_snr_db
    told = {
        "snr_db": finite_or_none(figures.total_snr_db),
        "snr_as_held_db": finite_or_none(figures.snr_db),
        "rounding_snr_db": None if rounding is None else finite_or_none(rounding),
        "max_difference": finite_or_none(figures.max_difference),
        "max_difference_codes": figures.max_code_difference,
        "codes_equal_share": figures.codes_equal,
        "worst_channel": figures.worst_channel,
        "worst_channel_snr_db": finite_or_none(figures.worst_channel_snr_db),
        "channels": figures.channels,
        "wrong_channels": figures.wrong_channels,
    }
    # Integers have no noise.
    told = told if figures.equal is None else dict.fromkeys(told)
    return {**told, "equal_share": figures.equal}


def _rounding(value):
    # A reference of codes, as a quantized form gives, is held but for float32's rounding.
    return "exact" if value > _EXACT_DB else _db(value)


def _ratio(figures, value):
    """A ratio of numbers; of integers, which have none, nothing, or that they are exact."""
    if figures.equal is None:
        return _db(value)
    return "exact" if value == math.inf else None


def _db(value):
    if math.isinf(value):
        return "exact" if value > 0 else "no signal"
    return f"{value:.1f} dB"
