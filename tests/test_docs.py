"""Pages say what the code says, and their links lead somewhere.

`python -m tests.test_docs` writes the table of operations into it anew.
"""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PAGES = [
    *ROOT.glob("*.md"),
    *(ROOT / "docs").glob("*.md"),
    ROOT / "android_bench" / "README.md",
]
PAGE = ROOT / "docs" / "architecture.md"
TABLE = re.compile(r"(?<=<!-- table: python -m tests.test_docs -->\n).*?(?=<!-- end -->)", re.S)


def table() -> str:
    """The table of operations, from the primitives themselves."""
    from care_keras import primitives
    from care_keras.primitives.int8 import Fixed, Output

    names = {Output.OWN: "own", Output.LIKE_INPUT: "like input", Output.NONE: "none"}
    names[Output.INTEGER] = "int32"
    lines = ["| primitive | TFLite | output in int8 | besides float32 | |", "|---|---|---|---|---|"]
    for name in primitives.__all__:
        kind = vars(primitives)[name]
        if kind is primitives.Primitive:
            continue
        int8 = kind.int8
        output = names.get(int8.output)
        if isinstance(int8.output, Fixed):
            output = f"step {int8.output.scale:g}, zero point {int8.output.zero_point}"
        notes = [
            *(["left out of the quantized form"] if int8.left_out else []),
            *(["all inputs share a range"] if int8.joins_inputs else []),
            *([f"input {place} has zero point 0" for place in int8.symmetric_inputs]),
            *(["relative errors count"] if int8.relative else []),
            *(["an input's step has bounds"] if int8.term_steps else []),
            *(["its kernel rounds in its own way"] if int8.function else []),
        ]
        operation = re.match(r"[A-Z0-9_]{2,}", kind.__doc__)
        cells = [f"`{name}`", operation[0], output, ", ".join(int8.precisions), "; ".join(notes)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def test_the_table_of_operations_is_that_of_the_code():
    assert TABLE.search(PAGE.read_text())[0] == table()


def test_the_lowering_of_the_page_does_what_it_says():
    import keras

    from care_keras import primitives
    from care_keras.deploy import fuse
    from care_keras.deploy.lowering import LOWERINGS

    before = dict(LOWERINGS)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)
    try:
        exec(code, {})
        inputs = keras.Input((4, 4, 3))
        model = keras.Model(inputs, keras.layers.ELU(name="elu")(inputs))
        form = fuse(model)
    finally:
        LOWERINGS.clear()
        LOWERINGS.update(before)
    assert isinstance(form.get_layer("elu"), primitives.Elu)
    assert not form.foreign_operations


def test_every_path_on_the_page_is_there():
    root = PAGE.parents[1]
    paths = re.findall(r"`((?:care_keras|tflite|android_bench|tests)/[\w/.]*)`", PAGE.read_text())
    assert paths and [path for path in paths if not (root / path).exists()] == []


if __name__ == "__main__":
    PAGE.write_text(TABLE.sub(lambda _: table(), PAGE.read_text()))


def anchors(page: pathlib.Path) -> set[str]:
    """What links may name in a page, as GitHub makes it of headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    titles = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"\w+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def test_the_front_page_is_short():
    """It leads in; whoever looks something up has docs/."""
    assert len((ROOT / "README.md").read_text().splitlines()) <= 200
