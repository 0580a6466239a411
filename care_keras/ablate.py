"""Trains the ablations of a model alike: `python -m care_keras.ablate --model=nano --epochs=10`.

It takes the flags of `care_keras.train`, `--flagfile` included, which then hold
for all runs: each variant with each of the seeds, one process after the other,
in `--run_dir`. Stopped or killed, the same command goes on; what is finished is
not trained again. `ablations.md`, `.json` and `.png` in `--run_dir` tell what
came of it, after each run; `--table_only` writes them from what is finished.
"""

import pathlib
import signal

from absl import flags

from care_keras import train
from care_keras.console import cli
from care_keras.training.recipe import check_names

_VARIANTS = flags.DEFINE_list(
    "variants", None, "base and names of ablations, comma separated (default: all)."
)
_SEEDS = flags.DEFINE_list("seeds", ["0", "1"], "A run of each variant for each.")
_TABLE_ONLY = flags.DEFINE_bool("table_only", False, "Train nothing; write the table again.")

# Flags of the trainer that are not for all runs alike.
_REFUSED = ("seed", "from", "qat", "measure_input", "process_id")


def main() -> None:
    """The command."""
    for name in _REFUSED:
        if flags.FLAGS[name].present:
            raise cli.UserError(f"--{name} is no flag for a study of ablations (see --help)")
    if not all(seed.isdecimal() for seed in _SEEDS.value):
        raise cli.UserError(
            f"--seeds must be whole numbers, comma separated, not {','.join(_SEEDS.value)!r}"
        )
    config = train.config_of_flags()
    check_names(config)
    folder = pathlib.Path(flags.FLAGS["run_dir"].value or f"runs/ablations_{config.model}")
    try:
        _train_and_report(config, folder)
    except OSError as error:
        raise cli.UserError(f"--run_dir={folder} cannot be written to: {error.strerror}") from error


def _train_and_report(config, folder):
    from care_keras.ablation_study.report import text, write_report
    from care_keras.ablation_study.runs import VARIANTS, plan_runs, run_all

    runs, failed = [], []
    if not _TABLE_ONLY.value:
        # As Ctrl-C: the run that is under way is ended too.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        seeds = [int(seed) for seed in _SEEDS.value]
        runs = plan_runs(config, _VARIANTS.value or VARIANTS, seeds, folder)
        failed = run_all(runs, folder, after_each=lambda: write_report(folder))
    if not failed or any(run.finished for run in runs):
        print(text(write_report(folder)))
        print(f"wrote {folder / 'ablations.md'}, its JSON and its picture")
    if failed:
        names = "; ".join(map(str, failed))
        raise cli.CheckError(f"{len(failed)} runs have failed ({names}): try the command again")


if __name__ == "__main__":
    cli.run(main)
