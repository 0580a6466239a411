"""The models and what they cost, as tables."""

from collections.abc import Sequence

from care_keras import cli
from care_keras.flag_values import parse_size
from care_keras.models.ablations import CONFIGS
from care_keras.models.complexity import Complexity, complexity
from care_keras.models.config import BASE_CONFIGS
from care_keras.models.factories import build_model
from care_keras.table import format_table


def report(model: str = "all", sizes: Sequence[str] = (), layers: bool = False) -> str:
    """What `python -m care_keras.models` prints.

    Args:
        model: Name of a config, or `"all"`.
        sizes: Image sizes as text, `"224"` or `"192x256"` (height first); by
            default the one size of each model's preprocessing.
        layers: If true, one table per model and size with its stages.

    Raises:
        UserError: If the model is unknown, or a size is no size or too small.
    """
    if model != "all" and model not in CONFIGS:
        raise cli.UserError(
            f"--model must be all or one of {', '.join(BASE_CONFIGS)}, not {model!r}"
        )
    sizes = [parse_size(size.strip()) for size in sizes]
    counted = []
    for config in BASE_CONFIGS.values() if model == "all" else [CONFIGS[model]]:
        own = (config.preprocessing.height, config.preprocessing.width)
        smallest = config.stem_stride * 2 ** (len(config.depths) - 1)
        for height, width in sizes:
            if min(height, width) < smallest:
                raise cli.UserError(
                    f"--size={height}x{width} is too small: {config.name} needs at least "
                    f"{smallest}x{smallest} pixels"
                )
        network = build_model(config)
        counted += [(config.name, complexity(network, size)) for size in sizes or [own]]
    if layers:
        return "\n\n".join(_stage_table(name, counts) for name, counts in counted)
    headers = ("model", "input", "parameters", "GMACs conv + dense", "GMACs attention")
    return format_table(headers, [(name, *_row(counts)) for name, counts in counted])


def _row(counts: Complexity):
    height, width, _ = counts.image_shape
    return (
        f"{height}x{width}",
        counts.parameters,
        _giga(counts.conv_dense_macs),
        _giga(counts.attention_macs),
    )


def _stage_table(name, counts):
    size, *totals = _row(counts)
    headers = ("part", "map", "parameters", "GMACs conv + dense", "GMACs attention")
    rows = [
        (
            part.name,
            f"{part.height}x{part.width}",
            part.parameters,
            _giga(part.conv_dense_macs),
            _giga(part.attention_macs),
        )
        for part in counts.parts
    ]
    return f"{name} at {size}\n" + format_table(headers, [*rows, ("total", "", *totals)])


def _giga(macs):
    return f"{macs / 1e9:.4f}"
