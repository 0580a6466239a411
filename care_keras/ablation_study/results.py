"""What the finished runs of a study came to, variant by variant."""

import dataclasses
import functools
import pathlib
import re

from care_keras.ablation_study.runs import BASE, VARIANTS, model_name, read_result
from care_keras.console.cli import UserError
from care_keras.files import parse_json
from care_keras.loading import load_any
from care_keras.models import ABLATIONS
from care_keras.models.complexity import Complexity, complexity
from care_keras.training.config import TrainingConfig
from care_keras.training.run.folder import FREE_SETTINGS

# What runs of one study differ in.
_OWN_SETTINGS = FREE_SETTINGS | {"model", "seed"}


@dataclasses.dataclass(frozen=True)
class VariantResult:
    """The finished runs of one variant.

    Attributes:
        variant: Its name, `"base"` or one of `ABLATIONS`.
        summary: What is changed.
        model: Its name for `--model`.
        cost: Parameters and multiply-accumulates, of one image of its own size.
        top1: Accuracy by seed.
        differences: Top-1 minus the base model's of the same seed, by seed,
            where both are finished.
    """

    variant: str
    summary: str
    model: str
    cost: Complexity
    top1: dict[int, float]
    differences: dict[int, float]


@dataclasses.dataclass(frozen=True)
class StudyResult:
    """All of them.

    Attributes:
        base: Name of the base model.
        settings: Those that all runs share, by flag.
        evaluated_on: Name of the images that top-1 is of.
        images: Their number.
        variants: The base model first.
    """

    base: str
    settings: dict
    evaluated_on: str
    images: int
    variants: list[VariantResult]

    def to_dict(self) -> dict:
        """As plain JSON types."""
        return {
            "base": self.base,
            "command": command_of_study(self),
            "evaluated_on": self.evaluated_on,
            "images": self.images,
            "variants": [
                {
                    "variant": x.variant,
                    "model": x.model,
                    "parameters": x.cost.parameters,
                    "conv_dense_macs": x.cost.conv_dense_macs,
                    "attention_macs": x.cost.attention_macs,
                    "top1": x.top1,
                    "difference_to_base": x.differences,
                }
                for x in self.variants
            ],
            "settings": self.settings,
        }


def collect(folder: pathlib.Path) -> StudyResult:
    """Reads the finished runs in a folder.

    Raises:
        UserError: If there is none, they do not belong to one study, or one
            cannot be read.
    """
    runs = {}
    for path in sorted(folder.glob("*-seed*")):
        found = re.fullmatch(r"(.+)-seed(\d+)", path.name)
        if found and found[1] in VARIANTS and (result := read_result(path)):
            runs[found[1], int(found[2])] = (path, result, _settings(path))
    if not runs:
        raise UserError(f"--run_dir={folder} holds no finished run")
    (first, _), (first_path, first_result, settings) = next(iter(runs.items()))
    base = settings["model"].removesuffix(f"_{first}")
    shared = {key: value for key, value in settings.items() if key not in _OWN_SETTINGS}
    for (variant, seed), (path, _, settings) in runs.items():
        expected = shared | {"model": model_name(base, variant), "seed": seed}
        different = [key for key, value in expected.items() if settings.get(key) != value]
        if different:
            raise UserError(
                f"{path} and {first_path} cannot stand in one table: they differ in "
                f"{', '.join(different)}"
            )
    top1 = {name: {} for name in VARIANTS}
    for (variant, seed), (_, result, _) in runs.items():
        top1[variant][seed] = result["top1"]
    costs = {variant: path for (variant, _), (path, _, _) in runs.items()}
    return StudyResult(
        base,
        shared,
        first_result["evaluated_on"],
        first_result["images"],
        [
            VariantResult(
                variant,
                "the base model" if variant == BASE else ABLATIONS[variant].summary,
                model_name(base, variant),
                _cost(costs[variant] / "model.keras"),
                dict(sorted(top1[variant].items())),
                _differences(top1, variant),
            )
            for variant in VARIANTS
            if top1[variant]
        ],
    )


def _settings(path):
    try:
        settings = parse_json((path / "config.json").read_text())
        return settings | {"model": str(settings["model"])}
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(f"{path / 'config.json'} does not hold the settings of a run") from error


@functools.cache
def _cost(path):
    """Of the trained model itself: its heads have as many classes as its data."""
    try:
        model = load_any(str(path))
    except ValueError as error:
        raise UserError(f"{error}") from error
    record = model.preprocessing
    return complexity(model, (record.height, record.width))


def _differences(top1, variant):
    if variant == BASE:
        return {}
    both = sorted(top1[variant].keys() & top1[BASE].keys())
    return {seed: top1[variant][seed] - top1[BASE][seed] for seed in both}


def command_of_study(study: StudyResult) -> str:
    """The command that makes the study again."""
    settings = TrainingConfig(study.base, study.settings["data"], pathlib.Path()).to_dict()
    seeds = sorted({seed for variant in study.variants for seed in variant.top1})
    words = [
        "python -m care_keras.ablate",
        f"--model={study.base}",
        f"--data={study.settings['data']}",
        f"--seeds={','.join(map(str, seeds))}",
    ]
    if len(study.variants) < len(VARIANTS):
        words.append(f"--variants={','.join(x.variant for x in study.variants)}")
    for key, values in study.settings.items():
        if values != settings.get(key):
            words += [f"--{key}={x}" for x in (values if isinstance(values, list) else [values])]
    return " ".join(words)
