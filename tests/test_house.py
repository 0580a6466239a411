"""How the code lies: imports go one way, and names say where a thing is."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]

# From the ground up: a unit imports only what stands before it. A package that is named here
# as a whole is one unit; of the others each module is.
ORDER = [
    "care_keras.files",
    "care_keras.locks",
    "care_keras.json_shape",
    "care_keras.shapes",
    "care_keras.console",
    "care_keras.download",
    "care_keras.pictures",
    "care_keras.metrics",
    "care_keras.data",
    "care_keras.segmentation",
    "care_keras.detection",
    "care_keras.tflite_file",
    "care_keras.graph",
    "care_keras.layers",
    "care_keras.models",
    "care_keras.weights",
    "care_keras.models.presets",
    "care_keras.models.factories",
    "care_keras.models.listing",
    "care_keras.models.__main__",
    "care_keras.primitives",
    "care_keras.deploy",
    "care_keras.quantization",
    "care_keras.emit",
    "care_keras.litert",
    "care_keras.reference",
    "care_keras.loading",
    "care_keras",
    "care_keras.convert",
    "care_keras.training.devices",
    "care_keras.training.images",
    "care_keras.training.config",
    "care_keras.training.recipe",
    "care_keras.training.teaching",
    "care_keras.training.run",
    "care_keras.training.task",
    "care_keras.training.dense_task",
    "care_keras.training.dense_task_maker",
    "care_keras.training.detection_task",
    "care_keras.training.segmentation_task",
    "care_keras.training.task_maker",
    "care_keras.training.result",
    "care_keras.training.throughput",
    "care_keras.training.trainer",
    "care_keras.training",
    "care_keras.train",
    "care_keras.ablation_study",
    "care_keras.ablate",
    "tflite.child",
    "tflite.benchmark_tool",
    "tflite.inputs",
    "tflite.benchmark",
    "tflite.audit",
    "tflite.runs",
    "tflite.arm64",
    "tflite.npu",
    "tflite.evaluate",
    "tflite.compare",
    "tflite.openvino",
    "tflite.runtimes",
    "tflite.mediapipe",
    "tflite.benchmark_forms",
    "tflite.benchmark_tokens",
    "tflite.stress",
    "tflite",
    "android_bench.phone",
    "android_bench.record_shapes",
    "android_bench.records",
    "android_bench.run",
    "android_bench.report",
    "android_bench.doctor",
    "android_bench.commands",
    "android_bench.__main__",
    "android_bench",
    "care_keras_commands",
]


def modules():
    """Dotted names of the product's modules, each with its file."""
    found = {}
    for package in ("care_keras", "tflite", "android_bench", "care_keras_commands"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def unit_of(module):
    """The longest name in `ORDER` that the module is or lies in."""
    while module not in ORDER:
        module = module.rpartition(".")[0]
    return module


def imports(module):
    """Modules of ours that a module imports, anywhere in it."""
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down(module):
    own = unit_of(module)
    upwards = {
        name
        for name in imports(module)
        if name in MODULES
        and unit_of(name) != own
        and ORDER.index(unit_of(name)) > ORDER.index(own)
    }
    assert not upwards, f"{module} imports what stands above it: {sorted(upwards)}"


def test_no_module_imports_itself_by_way_of_others():
    graph = {
        module: {name for name in imports(module) if name in MODULES and name != "care_keras"}
        for module in MODULES
    }
    done, under_way = set(), []

    def visit(module):
        if module in under_way:
            circle = [*under_way[under_way.index(module) :], module]
            pytest.fail(f"a circle of imports: {' -> '.join(circle)}")
        if module not in done:
            under_way.append(module)
            for name in sorted(graph[module]):
                visit(name)
            done.add(under_way.pop())

    for module in graph:
        visit(module)


def test_every_unit_of_the_order_is_there():
    assert [unit for unit in ORDER if unit not in MODULES] == []


def test_no_file_repeats_the_name_of_its_folder():
    repeating = [
        module
        for module, path in MODULES.items()
        if path.stem != "__init__" and path.stem.startswith(path.parent.name)
    ]
    assert repeating == []


def test_every_package_says_what_it_is():
    silent = [
        module
        for module, path in MODULES.items()
        if not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert silent == []
