"""The models and what they cost, as tables."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from care_keras.console import cli
from care_keras.console.flag_values import parse_size
from care_keras.console.table import format_table
from care_keras.models.ablations import ABLATIONS, CONFIGS, names_of_models
from care_keras.models.config import BASE_CONFIGS, CAREConfig

if TYPE_CHECKING:
    from care_keras.models.complexity import Complexity

# The size that published figures of backbones for segmentation and detection are of, and the
# classes of the data sets.
_HEAD_SIZE = (512, 512)
_ADE20K, _COCO = 150, 80
_COUNTS = ("input", "parameters", "GMACs conv + dense", "GMACs attention")


def report(
    model: str = "all",
    sizes: Sequence[str] = (),
    layers: bool = False,
    ablations: bool = False,
    heads: bool = False,
) -> str:
    """What `python -m care_keras.models` prints.

    Args:
        model: Name of a config, or `"all"` for those that are no ablations.
        sizes: Image sizes as text, `"224"` or `"192x256"` (height first); by
            default the one size of each model's preprocessing.
        layers: If true, one table per model and size with its stages.
        ablations: If true, each model is followed by its ablations.
        heads: If true, what backbones cost without and with the networks for
            segmentation and detection.

    Raises:
        UserError: If the model is unknown or an ablation already, or a size is
            no size or too small.
    """
    if model != "all" and model not in CONFIGS:
        raise cli.UserError(f"--model must be all or {names_of_models()}, not {model!r}")
    if ablations and model not in ("all", *BASE_CONFIGS):
        raise cli.UserError(f"--ablations: --model={model} is one itself and has none")
    if ablations and layers:
        raise cli.UserError("--ablations and --layers are two tables: leave one of them out")
    if heads and (layers or ablations):
        raise cli.UserError("--heads is a table of its own: leave --layers and --ablations out")
    names = list(BASE_CONFIGS) if model == "all" else [model]
    parsed = [parse_size(size.strip()) for size in sizes]
    for name in names:
        _check_sizes(CONFIGS[name], parsed)
    if ablations:
        return _ablation_table(names, parsed)
    if heads:
        return _head_table(names, parsed or [_HEAD_SIZE])
    counted = [
        (CONFIGS[name].name, counts) for name in names for counts in _count(CONFIGS[name], parsed)
    ]
    if layers:
        return "\n\n".join(_stage_table(name, counts) for name, counts in counted)
    return format_table(("model", *_COUNTS), [(name, *_row(counts)) for name, counts in counted])


def _check_sizes(config, sizes):
    smallest = config.stem_stride * 2 ** (len(config.depths) - 1)
    for height, width in sizes:
        if min(height, width) < smallest:
            raise cli.UserError(
                f"--size={height}x{width} is too small: {config.name} needs at least "
                f"{smallest}x{smallest} pixels"
            )


def _count(config: CAREConfig, sizes) -> list["Complexity"]:
    """What a model costs at each size, or at its own."""
    from care_keras.models.complexity import complexity
    from care_keras.models.factories import build_model

    own = (config.preprocessing.height, config.preprocessing.width)
    network = build_model(config)
    return [complexity(network, size) for size in sizes or [own]]


def _row(counts: "Complexity"):
    height, width, _ = counts.image_shape
    return (
        f"{height}x{width}",
        counts.parameters,
        _giga(counts.conv_dense_macs),
        _giga(counts.attention_macs),
    )


def _ablation_table(names, sizes):
    """The base models `names`, each above its ablations."""
    rows = []
    for name in names:
        base = _count(CONFIGS[name], sizes)
        variants = {name: ("the paper's model", base)}
        for ablation, changed in ABLATIONS.items():
            key = f"{name}_{ablation}"
            variants[key] = (changed.summary, _count(CONFIGS[key], sizes))
        for key, (summary, counts) in variants.items():
            for own, of_base in zip(counts, base, strict=True):
                rows.append((key, *_row(own), f"{own.macs / of_base.macs:.3f}x", summary))
    return format_table(("--model", *_COUNTS, "all MACs", "what is changed"), rows)


def _head_table(names, sizes):
    """Each backbone alone, with a `SemanticFPN` and with a `RetinaNet`, of both kinds."""
    from care_keras.models.complexity import complexity
    from care_keras.models.factories import build_model
    from care_keras.models.head_complexity import head_macs
    from care_keras.models.retinanet import RetinaNet
    from care_keras.models.semantic_fpn import SemanticFPN

    rows = []
    for name in names:
        for height, width in sizes:
            backbone = build_model(CONFIGS[name], include_top=False, input_shape=(height, width, 3))
            own = complexity(backbone, (height, width)).macs
            rows.append((CONFIGS[name].name, f"{height}x{width}", "none", *_cost(backbone, own)))
            for kind, classes in ((SemanticFPN, _ADE20K), (RetinaNet, _COCO)):
                for head in ("lite", "paper"):
                    try:
                        network = kind(backbone, classes, head=head)
                    except ValueError as error:
                        raise cli.UserError(str(error)) from error
                    described = f"{kind.__name__}, {head}, {classes} classes"
                    macs = own + head_macs(network)
                    size = f"{height}x{width}"
                    rows.append((CONFIGS[name].name, size, described, *_cost(network, macs)))
    return format_table(("model", "input", "head", "parameters", "GMACs"), rows)


def _cost(network, macs):
    return sum(math.prod(weight.shape) for weight in network.trainable_weights), _giga(macs)


def _stage_table(name, counts):
    size, *totals = _row(counts)
    headers = ("part", "map", *_COUNTS[1:])
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
