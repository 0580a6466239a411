"""Every code block of the pages runs, or says why not; what it names is there."""

import ast
import importlib
import inspect
import json
import re

import pytest

from tests import doc_blocks, doc_commands
from tests.doc_commands import Command

ROOT = doc_blocks.ROOT
BLOCKS = [block for page in doc_blocks.pages() for block in doc_blocks.blocks(page)]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


def cells(notebook, language):
    """Code of a notebook's cells: those of `%%sh`, or Python's."""
    found = json.loads(notebook.read_text())["cells"]
    codes = ["".join(cell["source"]) for cell in found if cell["cell_type"] == "code"]
    if language == "sh":
        return [code.partition("\n")[2] for code in codes if code.startswith("%%sh")]
    return ["\n".join(code for code in codes if not code.startswith("%%"))]


SHELL = [(str(block), block.code) for block in BLOCKS if block.language == "sh"]
SHELL += [(path.name, code) for path in NOTEBOOKS for code in cells(path, "sh")]
# A page's Python blocks go on from one another.
PYTHON = [
    (str(page.relative_to(ROOT)), code)
    for page in doc_blocks.pages()
    if (code := "".join(b.code for b in doc_blocks.blocks(page) if b.language == "python"))
]
PYTHON += [(path.name, code) for path in NOTEBOOKS for code in cells(path, "python")]


def test_the_python_of_the_page_on_conversion_runs():
    """Its steps on a small network, from fusing to codes of the integer model."""
    import numpy as np

    from care_keras.data.sources import open_source
    from tests.care_keras.helpers import TINY, tiny_classifier

    source = open_source("bundled", "test")
    photos = np.stack([source[index][:16, :24] for index in range(8)])
    model = tiny_classifier(preprocessing=TINY.preprocessing)
    known = {"model": model, "images": photos, "batches_of_pixels": [photos[:4], photos[4:]]}
    for block in doc_blocks.blocks(ROOT / "docs/convert.md"):
        if block.run_by == "tests/test_doc_blocks.py":
            exec(block.code, known)
    assert known["logits"].shape == (8, 3)
    assert known["codes"].dtype == np.int8


def named(cases):
    return [pytest.param(code, id=name) for name, code in cases]


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_block_runs_or_says_why_not(block):
    assert block.is_marked, "see tests/doc_blocks.py for the comment that it needs"
    if block.run_by:
        assert (ROOT / block.run_by).is_file()
        assert is_run(block)


def is_run(block):
    """Whether CI runs the file that is said to run the block."""
    check = (ROOT / ".ci/run").read_text()
    if block.run_by == ".ci/run":
        known = joined(check + (ROOT / "Makefile").read_text())
        return all(
            joined(" ".join([one.program, *one.words])) in known
            for one in doc_commands.commands(block.code)
            if one.program != "pip"  # It installs all extras at once.
        )
    module = block.run_by.removesuffix(".py").replace("/", ".")
    return re.fullmatch(r"tests/(\w+/)*test_\w+\.py", block.run_by) or module in check


def joined(text):
    """Commands on one line each, without the places of their programs."""
    text = re.sub(r"\s*\\\n\s*", " ", text)
    return re.sub(r"(\.venv|\$\(BIN\)|\$\(VENV\))/(bin/)?", "", text)


def test_blocks_are_found_with_their_marks(tmp_path):
    page = ROOT / "README.md"
    assert len(doc_blocks.blocks(page)) == page.read_text().count(
        "\n```sh\n"
    ) + page.read_text().count("\n```python\n")
    assert {block.language for block in BLOCKS} == {"sh", "python", "kotlin"}


@pytest.mark.every_backend
def test_commands_are_those_of_the_pages():
    """All at once: a module's flags are defined once for all of its commands."""
    found = [one for _, code in SHELL for one in doc_commands.commands(code)]
    inline = [
        one
        for page in doc_blocks.pages()
        for code in re.findall(r"(?<!`)`(python -m [^`]+)`|^\$ (.*)$", page.read_text(), re.M)
        for one in doc_commands.commands(" ".join([*"".join(code).split(), "..."]))
    ]
    assert len(found) > 80 and len(inline) > 30
    assert doc_commands.complaints(found + inline) == []


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("make demmo", "make knows no demmo"),
        ("make PYTON=python3 demo", "make knows no PYTON"),
        ("pip install --editable '.[detektion]'", "setup.cfg has no extra detektion"),
        ("python -m tflite.audits --model=x", "there is no module tflite.audits"),
        ("python tests/no_such.py", "there is no tests/no_such.py"),
        (
            "A=1 python -m tflite.audit --model=x --in8 && make demo",
            "Unknown command line flag 'in8'",
        ),
        ("python -m care_keras.convert \\\n --precision=int9", "value should be one of"),
        ("python -m android_bench compare old.jsonl", "takes 2 words"),
        ("python -m android_bench run --model=x --delegate=xnnpakc", "xnnpakc"),
    ],
)
def test_what_is_wrong_is_named(line, complaint):
    (found,) = doc_commands.complaints(doc_commands.commands(line))
    assert complaint in found


def test_a_shell_block_is_cut_into_its_commands():
    code = """# a comment
A=1 .venv/bin/python -m x --y='a b' \\
    --z   # another
python - <<'END'
make no
END
for n in a b; do
  make $n > log
done
"""
    assert doc_commands.commands(code) == [
        Command("python", ("-m", "x", "--y=a b", "--z")),
        Command("python", ("-",)),
        Command("for", ("n", "in", "a", "b")),
        Command("make", ("$n",)),
        Command("log", ()),
    ]


@pytest.mark.parametrize("code", named(PYTHON))
def test_python_blocks_name_what_there_is(code):
    tree = ast.parse(code)
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                importlib.import_module(alias.name)
                top = alias.name.partition(".")[0]
                names[alias.asname or top] = importlib.import_module(top)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                names[alias.asname or alias.name] = member(node.module, alias.name)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            value(node, names)
        elif isinstance(node, ast.Call) and (function := value(node.func, names)) is not None:
            check_keywords(function, node)


def member(module, name):
    found = importlib.import_module(module)
    return (
        getattr(found, name)
        if hasattr(found, name)
        else importlib.import_module(f"{module}.{name}")
    )


def value(node, names):
    """What imported thing an expression is; None if it is no such thing."""
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute) and (owner := value(node.value, names)) is not None:
        return getattr(owner, node.attr)
    return None


def check_keywords(function, call):
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # Some of C's have none.
        return
    if any(one.kind is one.VAR_KEYWORD for one in parameters):
        return
    unknown = {one.arg for one in call.keywords} - {one.name for one in parameters}
    assert not unknown, f"{function.__name__} takes no {unknown}"


@pytest.mark.parametrize(
    "code",
    [
        "import care_keras\ncare_keras.CARE_Mikro()",
        "from care_keras.deploy import fusee",
        "import care_keras\ncare_keras.CARE_S0(weight='x')",
    ],
)
def test_python_blocks_that_name_what_there_is_not_are_seen(code):
    with pytest.raises((AttributeError, ModuleNotFoundError, AssertionError)):
        test_python_blocks_name_what_there_is(code)
