"""A study as a table for people, as JSON for programs, and as a picture."""

import json
import pathlib
import statistics

from care_keras.ablation_study.results import StudyResult, VariantResult, collect, command_of_study
from care_keras.console.optional import MissingDependencyError
from care_keras.console.table import format_table
from care_keras.files import write_atomically
from care_keras.pictures import new_figure, save_figure

_HEADERS = (
    "variant",
    "what is changed",
    "parameters",
    "GMACs conv + dense",
    "GMACs attention",
    "runs",
    "top-1 %",
    "min to max",
    "points to base",
    "min to max of them",
)


def write_report(folder: pathlib.Path) -> StudyResult:
    """Writes `ablations.json`, `.md` and, with matplotlib, `.png` of what is finished.

    Raises:
        UserError: If nothing is, or it does not belong together.
        OSError: If a file cannot be written.
    """
    study = collect(folder)
    picture = folder / "ablations.png"
    try:
        draw(study, picture)
    except MissingDependencyError as error:
        print(f"no picture: {error}")
        picture.unlink(missing_ok=True)
    write_atomically(folder / "ablations.json", json.dumps(study.to_dict(), indent=2) + "\n")
    write_atomically(folder / "ablations.md", markdown(study, picture.exists()))
    return study


def text(study: StudyResult) -> str:
    """The table as command lines print it."""
    return format_table(_HEADERS, [_cells(variant) for variant in study.variants])


def markdown(study: StudyResult, has_picture: bool = False) -> str:
    """The table, what it is of, how much of it is chance, and the picture that lies beside it."""
    rows = [_HEADERS, ["---", "---", *["---:"] * (len(_HEADERS) - 2)]]
    rows += [_cells(variant) for variant in study.variants]
    lines = [
        f"# Ablations of {study.base} on {study.settings['data']}",
        "",
        *("| " + " | ".join(_markdown_cell(cell) for cell in row) + " |" for row in rows),
        "",
        f"Top-1 on the {study.images:,} images of {study.evaluated_on} at the end of a "
        f"training with `--epochs={study.settings['epochs']}`, the same for each variant. Points "
        "are percentage points, between runs with the same seed.",
    ]
    spread = largest_spread(study)
    if spread is not None:
        lines.append(
            f"Runs of one variant that differ in their seed alone lie up to {100 * spread:.2f} "
            "points apart: smaller differences between variants say nothing."
        )
    if has_picture:
        lines += ["", "![top-1 of each run, and what each variant costs](ablations.png)"]
    return "\n".join([*lines, "", "```sh", command_of_study(study), "```", ""])


def largest_spread(study: StudyResult) -> float | None:
    """Largest difference between two seeds of one variant; `None` if each has but one."""
    spreads = [
        max(x.top1.values()) - min(x.top1.values()) for x in study.variants if len(x.top1) > 1
    ]
    return max(spreads, default=None)


def _cells(variant: VariantResult):
    top1, differences = list(variant.top1.values()), list(variant.differences.values())
    return (
        variant.variant,
        variant.summary,
        variant.cost.parameters,
        f"{variant.cost.conv_dense_macs / 1e9:.4f}",
        f"{variant.cost.attention_macs / 1e9:.4f}",
        len(top1),
        f"{100 * statistics.mean(top1):.2f}",
        f"{100 * min(top1):.2f} to {100 * max(top1):.2f}",
        f"{100 * statistics.mean(differences):+.2f}" if differences else None,
        f"{100 * min(differences):+.2f} to {100 * max(differences):+.2f}" if differences else None,
    )


def _markdown_cell(cell):
    if cell is None:
        return ""
    return f"{cell:,}" if isinstance(cell, int) else str(cell)


def draw(study: StudyResult, path: pathlib.Path) -> None:
    """Draws top-1 of every run, and what each variant costs.

    Args:
        study: The results.
        path: The PNG file.

    Raises:
        MissingDependencyError: If matplotlib is not installed.
        OSError: If the file cannot be written.
    """
    variants = study.variants
    figure = new_figure(9.0, 1.5 + 0.4 * len(variants))
    accuracy, cost = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    for row, variant in enumerate(variants):
        top1 = [100 * value for value in variant.top1.values()]
        mean = statistics.mean(top1)
        accuracy.plot(top1, [row] * len(top1), "o", color="tab:blue", alpha=0.6)
        accuracy.plot([mean], [row], "|", color="black", markersize=16)
        if row == 0 and variant.variant == "base":
            accuracy.axvline(mean, color="gray", linestyle=":")
    cost.barh(
        range(len(variants)),
        [x.cost.macs / 1e6 for x in variants],
        color="tab:gray",
    )
    accuracy.set_yticks(range(len(variants)), [x.variant for x in variants])
    accuracy.invert_yaxis()
    accuracy.set_xlabel("top-1 % (a dot for each seed, a bar for their mean)")
    cost.set_xlabel("million multiply-accumulates")
    for panel in (accuracy, cost):
        panel.grid(axis="x", alpha=0.3)
    figure.suptitle(
        f"Ablations of {study.base} on {study.settings['data']}, "
        f"--epochs={study.settings['epochs']}"
    )
    save_figure(figure, path)
