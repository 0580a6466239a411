"""Stands in for `care_keras.train`, without Keras: `python stand_in_trainer.py PLAN --model=...`.

PLAN is a JSON file: `model` (a .keras file that a run ends with), `top1` and `exit` (by
`MODEL-SEED`; a run with an exit code leaves no result, and 99 waits to be killed), and
`log` (a file that gets a line for each run).
"""

import json
import pathlib
import shutil
import sys
import time


def value_of(text):
    if text in ("True", "False"):
        return text == "True"
    try:
        return json.loads(text)
    except ValueError:
        return text


def main(plan_path, *arguments):
    plan = json.loads(pathlib.Path(plan_path).read_text())
    # What is empty is not given.
    names = ("float_layers", "int16_layers", "levels", "mean", "std", "teacher_mean", "teacher_std")
    settings = {name: [] for name in (*names, "import")}
    for argument in arguments:
        name, _, text = argument.removeprefix("--").partition("=")
        settings[name] = value_of(text)
    run = f"{settings['model']}-{settings['seed']}"
    with open(plan["log"], "a") as log:
        log.write(f"{run}\n")
    folder = pathlib.Path(settings["run_dir"])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(settings))
    code = plan["exit"].get(run, 0)
    if code == 99:
        time.sleep(600)
    if code:
        sys.exit(code)
    shutil.copy(plan["model"], folder / "model.keras")
    result = {"top1": plan["top1"].get(run, 0.5), "evaluated_on": "bundled:test", "images": 1000}
    (folder / "result.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
