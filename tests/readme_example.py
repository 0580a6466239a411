"""Runs README's second example as it stands: `python -m tests.readme_example`.

The folder of photos that it wants is made of bundled ones. It takes minutes, and is a step of
`.ci/run`.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

from PIL import Image

from care_keras.data.sources import open_source

ROOT = pathlib.Path(__file__).parents[1]
TITLE = "A head of your own on CARE"


def blocks(text: str) -> list[tuple[str, str]]:
    """`(language, code)` of the two blocks behind the title."""
    return re.findall(r"^```(python|sh)\n(.*?)^```$", text[text.index(TITLE) :], re.M | re.S)[:2]


def write_photos(folder: pathlib.Path) -> None:
    """Bundled photos as files of class folders."""
    source = open_source("bundled", "train")
    for index in range(0, len(source), 10):
        path = folder / f"class_{source.labels[index]}" / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(source[index]).save(path)


def main() -> None:
    """Runs the blocks in a folder of their own; with `--photos` it makes the photos here."""
    if sys.argv[1:] == ["--photos"]:
        write_photos(pathlib.Path("photos"))
        return
    words = {"python": [sys.executable, "-c"], "sh": ["sh", "-ec"]}
    search = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    environment = {**os.environ, "PATH": search, "PYTHONPATH": os.fspath(ROOT)}
    with tempfile.TemporaryDirectory() as folder:
        write_photos(pathlib.Path(folder, "photos"))
        for language, code in blocks((ROOT / "README.md").read_text()):
            subprocess.run([*words[language], code], cwd=folder, env=environment, check=True)
        made = list(pathlib.Path(folder).glob("*.tflite"))
    if len(made) != 1:
        raise SystemExit(f"README's example made {len(made)} .tflite files")


if __name__ == "__main__":
    main()
