"""The console commands, as setup.cfg names them."""

import ast
import functools
import sys

from care_keras_commands.launch import launch, tflite_tools, tools_folder

ablate = functools.partial(launch, "care_keras.ablate")
bench = functools.partial(launch, "android_bench")
convert = functools.partial(launch, "care_keras.convert")
models = functools.partial(launch, "care_keras.models")
train = functools.partial(launch, "care_keras.train")
weights = functools.partial(launch, "care_keras.weights")


def tflite() -> None:
    """`care-tflite TOOL ...` runs a tool of the package `tflite`."""
    word = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if word in ("-h", "-help", "--help", "help"):
        print("Tools for .tflite files: `care-tflite TOOL [--flags]`.\n")
        print(_listing())
        print("\n`care-tflite TOOL --help` lists a tool's flags.")
    elif word in tflite_tools():
        del sys.argv[1]
        launch(f"tflite.{word}")
    else:
        print(f"error: there is no tool {word!r}: it is one of\n{_listing()}", file=sys.stderr)
        sys.exit(2)


def _listing():
    """A line for each tool: what its docstring says, less how it is called in a checkout."""
    tools = tflite_tools()
    width = max(map(len, tools))
    return "\n".join(f"{tool:{width}}  {_summary(tool)}" for tool in tools)


def _summary(tool):
    text = (tools_folder() / "tflite" / tool / "__init__.py").read_text()
    return ast.get_docstring(ast.parse(text)).partition(": `python -m")[0]
