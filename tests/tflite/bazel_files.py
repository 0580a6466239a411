"""Reads what Bazel reads, so far as WORKSPACE, BUILD and .bazelrc of this repository go."""

import ast
import re
import shlex

# Which call declares a repository that is loaded from, where it is not the call's `name`:
# TensorFlow's and the toolchain's macros, as LiteRT 2.2.0's WORKSPACE uses them.
DECLARED_BY_MACRO = {
    "tf_workspace3": {"xla", "rules_ml_toolchain", "bazel_skylib"},
    "tf_workspace2": {"rules_android_ndk"},
    "python_init_pip": {"pypi"},
    "cuda_json_init_repository": {"cuda_redist_json"},
}


def calls(source):
    """The calls at the top level of Starlark: (name, positional strings, named values, node)."""
    found = []
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
            node = statement.value
            found.append(
                (
                    node.func.id,
                    [a.value for a in node.args if isinstance(a, ast.Constant)],
                    {keyword.arg: _value(keyword.value) for keyword in node.keywords},
                    node,
                )
            )
    return found


def _value(node):
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ast.unparse(node)


def archive_problems(source):
    """What is wrong with the archives: no sum, a sum that is none, names that disagree."""
    problems = []
    lines = source.splitlines()
    for function, _, given, node in calls(source):
        if function != "http_archive":
            continue
        name = given["name"]
        first = node.lineno - 1
        while first and lines[first - 1].startswith("#"):
            first -= 1
        comments = [line for line in lines[first : node.end_lineno] if "#" in line]
        urls = given.get("urls") or [given["url"]]
        if "sha256" not in given and not any("sha256" in line for line in comments):
            problems.append(f"{name}: neither a sha256 nor a comment that says why")
        if not re.fullmatch("[0-9a-f]{64}", given.get("sha256", "0" * 64)):
            problems.append(f"{name}: {given['sha256']!r} is no sha256")
        problems += [f"{name}: {url} is not https" for url in urls if not url.startswith("https:")]
        version = given.get("strip_prefix", "").rpartition("-")[2]
        problems += [f"{name}: {url} is not of {version}" for url in urls if version not in url]
    names = [given["name"] for function, _, given, _ in calls(source) if function == "http_archive"]
    return problems + [f"{name}: twice" for name in set(names) if names.count(name) > 1]


def undeclared_repositories(source):
    """Labels of repositories that nothing above declares; `load` needs that at that line."""
    known, problems = {"bazel_tools"}, []
    for function, positional, given, node in calls(source):
        if function == "load" and positional[0][1:].split("//")[0] not in known:
            problems.append(positional[0])
        known |= DECLARED_BY_MACRO.get(function, set())
        if function != "workspace" and "name" in given:
            known.add(given["name"])
        elif function == "register_toolchains":
            labels = [n.value for n in ast.walk(node) if isinstance(n, ast.Constant)]
            problems += [x for x in labels if x[1:].split("//")[0] not in known]
    return problems, known


def bazelrc(source):
    """The file's options by command: {"build": [...], "build:android": [...]}.

    Raises:
        ValueError: If a line is neither a comment, an import nor a command with options.
    """
    options = {}
    for number, line in enumerate(source.splitlines(), 1):
        words = shlex.split(line, comments=True)
        if not words or words[0] in ("import", "try-import"):
            continue
        well_formed = re.fullmatch(r"(common|build|test|startup)(:\w+)?", words[0])
        single = [w for w in words[1:] if not re.fullmatch(r"-c|opt|--@?[\w/:.-]+(=.*)?", w)]
        if not well_formed or len(words) < 2 or single:
            raise ValueError(f"Not a line of a .bazelrc. Received: line {number}, {line!r}")
        options.setdefault(words[0], []).extend(words[1:])
    return options


def expand(options, config):
    """All options that `--config=config` means, in order.

    Raises:
        ValueError: If there is no such config.
    """
    expanded = []
    if f"build:{config}" not in options:
        raise ValueError(f"No such config. Received: {config}")
    for option in options[f"build:{config}"]:
        name, _, value = option.partition("=")
        expanded += expand(options, value) if name == "--config" else [option]
    return expanded


def value_of(options, name):
    """The last value of an option, True or False for one without: the last counts."""
    value = None
    for option in options:
        if option == f"--no{name}":
            value = False
        elif option.partition("=")[0] == f"--{name}":
            value = option.partition("=")[2] or True
    return value
