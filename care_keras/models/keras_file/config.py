"""What the config.json of a `.keras` file may name.

Keras looks up classes and functions by the names in the file, and an operation that takes
functions calls them to learn the shape of its output. So each object that Keras would look up
must be of a kind listed here, found by the same names; all else is refused.
"""

import functools
import inspect
import re
import sys

# A CARE-S2's quantized form is 12 deep, and each model inside a model adds 3.
_MAX_DEPTH = 100

# Values that Keras writes as objects.
_VALUES = frozenset({"__bytes__", "__ellipsis__", "__keras_tensor__", "__slice__"})
_ARRAYS = frozenset({"__numpy__", "__tensor__"})
# By its dtype, a string's for one, an array of one value could take any amount of memory.
_DTYPE = re.compile(r"bool|bfloat16|(u?int|float|complex)\d{1,3}|float8_\w{1,20}")

# The public modules that Keras names objects by, and what is built of them with a model.
_MODULES = frozenset(
    {
        "keras",
        "keras.constraints",
        "keras.dtype_policies",
        "keras.initializers",
        "keras.layers",
        "keras.models",
        "keras.quantizers",
        "keras.random",
        "keras.regularizers",
    }
)
# And of these if a model inside the model was compiled: Keras compiles it again.
_TRAINING_MODULES = frozenset(
    {"keras.losses", "keras.metrics", "keras.optimizers", "keras.optimizers.schedules"}
)
# Classes that have no public name stand under their own.
_OPERATION_MODULES = re.compile(r"keras\.src\.(ops|activations|quantizers)(\.\w+)*")
_LAYER_MODULES = re.compile(r"keras\.src\.(models|applications)(\.\w+)*")
_OPTIMIZER_MODULES = re.compile(r"keras\.src\.backend\.\w+\.optimizers(\.\w+)*")
# Keras finds unregistered classes of its sister projects by their modules, and imports them; here
# the caller must have.
_SISTERS = frozenset({"keras_cv", "keras_hub", "keras_nlp"})

# Layers and operations that take these run code or read files while a model is built.
_FUNCTION_ARGUMENTS = frozenset(
    {
        "body",
        "body_fun",
        "branches",
        "call_fn",
        "cond",
        "f",
        "false_fn",
        "filepath",
        "fn",
        "fun",
        "func",
        "function",
        "init_fn",
        "module",
        "true_fn",
    }
)
_LOOKUP_FUNCTIONS = frozenset({"deserialize", "get", "serialize"})


def check_config(config) -> None:
    """Refuses a model's config that names what is not on the list.

    The model's own `compile_config` is not looked at: Keras drops it with `compile=False`.

    Args:
        config: What config.json holds, parsed.

    Raises:
        ValueError: In one line, what it names.
    """
    import keras

    if not _is_object(config):
        raise ValueError("config.json describes no model.")
    kind = _check_object(config, training=False)
    if kind is None or not issubclass(kind, keras.Model):
        raise ValueError(f"config.json describes no model, but {_label(config)}.")
    rest = [(value, 1, False) for key, value in config.items() if key != "compile_config"]
    while rest:
        value, depth, training = rest.pop()
        if depth > _MAX_DEPTH:
            raise ValueError("config.json is nested too deep.")
        if isinstance(value, list):
            rest += [(x, depth + 1, training) for x in value if isinstance(x, dict | list)]
        elif isinstance(value, dict):
            is_object = _is_object(value)
            if is_object:
                _check_object(value, training)
            _check_calls(value)
            rest += [
                (x, depth + 1, training or (is_object and key == "compile_config"))
                for key, x in value.items()
                if isinstance(x, dict | list)
            ]


def _check_calls(entry):
    """Refuses calls of a layer or an operation that Keras would compute, not only note down."""
    calls = entry.get("inbound_nodes")
    for call in calls if isinstance(calls, list) else []:
        if not (isinstance(call, dict) and _has_tensor([call.get("args"), call.get("kwargs")])):
            raise ValueError(
                f"The file has a call without a tensor, which would be computed while the model "
                f"is loaded: of {_short(entry.get('name'))}."
            )


def _has_tensor(arguments):
    """Whether one of them is a layer's output, in lists and dicts as Keras looks for it."""
    rest = [arguments]
    while rest:
        value = rest.pop()
        if isinstance(value, list):
            rest += value
        elif _is_object(value):
            if value["class_name"] == "__keras_tensor__":
                return True
        elif isinstance(value, dict):
            rest += value.values()
    return False


def _is_object(value):
    """Whether Keras makes something else of it than a dict."""
    return isinstance(value, dict) and "class_name" in value and "config" in value


def _check_object(value, training):
    """Returns the class of the object, or None if it has none."""
    import keras

    name, config = value["class_name"], value["config"]
    module, registered = value.get("module"), value.get("registered_name", name)
    if not (
        isinstance(name, str)
        and isinstance(module, str | None)
        and isinstance(registered, str | None)
    ):
        raise ValueError(f"The file has an object whose name is no text: {_label(value)}.")
    if name in _VALUES:
        return None
    if name in _ARRAYS:
        dtype = config.get("dtype") if isinstance(config, dict) else None
        if not isinstance(dtype, str) or not _DTYPE.fullmatch(dtype):
            raise ValueError(f"The file has an array of an unknown dtype: {_short(dtype)}.")
        return None
    # Without a module Keras takes it for an object of Keras 2, and looks it up by other rules.
    if "module" not in value or name.startswith("__"):
        raise ValueError(f"The file names {_label(value)}, which Keras 3 does not write.")
    if name == "function":
        if not _is_allowed_function(module, config, training):
            raise ValueError(
                f"The file names the function {_label(value)}: of Keras's functions a model "
                "file may hold activations alone."
            )
        return None
    # The caller's own process has registered it; Keras looks here first.
    kind = keras.saving.get_registered_object(registered)
    if kind is None:
        kind = _find_class(module, name, training)
        package = _package(module)
        if kind is None and package in _SISTERS - sys.modules.keys():
            raise ValueError(
                f"The file names {_label(value)}: name its package with --import={package} (in "
                "Python: import it)."
            )
        if kind is None and package in {"keras", *_SISTERS}:
            raise ValueError(
                f"The file names {_label(value)}, which is not among what a model file may hold."
            )
        if kind is None:
            raise ValueError(
                f"The file names {_label(value)}, which is neither Keras's nor care_keras's; "
                "--import=MODULE names your module that registers it (in Python: import it)."
            )
        if taken := _function_arguments(kind):
            raise ValueError(
                f"The file names {_label(value)}, which can run code or read files when the "
                f"model is loaded: it takes {taken[0]!r}; write it with functions of keras.ops, or "
                "as a layer of your own that is registered."
            )
    if inspect.isclass(kind) and issubclass(kind, keras.Operation):
        _check_layer(value, kind)
    return kind if inspect.isclass(kind) else None


def _check_layer(value, kind):
    import keras

    config = value["config"] if isinstance(value["config"], dict) else {}
    for name in (value.get("name"), config.get("name")):
        if isinstance(name, str) and (
            name in (".", "..") or re.search(r"[/\\]", name) or not name.isprintable()
        ):
            raise ValueError(f"A layer's name could be taken for a path: {_short(name)}.")
    lookups = (
        keras.layers.IntegerLookup,
        keras.layers.StringLookup,
        keras.layers.TextVectorization,
    )
    for key in ("vocabulary", "idf_weights"):
        if issubclass(kind, lookups) and isinstance(config.get(key), str):
            raise ValueError(f"A layer's {key} is a path: {_short(config[key])}.")


def _is_allowed_function(module, name, training):
    import keras

    if not isinstance(name, str):
        return False
    if keras.saving.get_registered_object(name) is not None:
        return True
    modules = ["keras.activations"]
    # Keras keeps the same functions there too.
    if module == "keras.ops":
        return name in _functions("keras.activations") & _functions("keras.ops")
    if training:
        modules += ["keras.losses", "keras.metrics"]
    if module == "builtins":
        # So did Keras before 3.7 write all functions, the caller's own ones too.
        return any(name in _functions(x) for x in modules) or any(
            own.endswith(f">{name}") for own in keras.saving.get_custom_objects()
        )
    return module in modules and name in _functions(module)


@functools.lru_cache
def _functions(module):
    functions = {key for key, x in vars(sys.modules[module]).items() if inspect.isfunction(x)}
    return functions - _LOOKUP_FUNCTIONS


def _find_class(module, name, training):
    """The class that Keras finds by these names, or None if it is of no kind listed."""
    import keras

    own_name = False
    if module in _MODULES:
        kinds = _kinds()
    elif training and module in _TRAINING_MODULES:
        kinds = _training_kinds()
    elif _OPERATION_MODULES.fullmatch(module or ""):
        kinds, own_name = (keras.Operation,), True
    elif _LAYER_MODULES.fullmatch(module or ""):
        kinds, own_name = (keras.layers.Layer,), True
    elif _package(module) in _SISTERS:
        kinds, own_name = _kinds(), True
    elif training and _OPTIMIZER_MODULES.fullmatch(module or ""):
        kinds, own_name = (keras.optimizers.Optimizer,), True
    else:
        return None
    # All that a model needs is there with Keras: nothing is imported.
    found = vars(sys.modules[module]).get(name) if module in sys.modules else None
    if not inspect.isclass(found) or not issubclass(found, kinds):
        return None
    if own_name and (found.__module__ != module or found in (keras.Function, keras.Operation)):
        return None
    return found


def _package(module):
    return (module or "").partition(".")[0]


@functools.lru_cache
def _kinds():
    import keras

    return (
        keras.constraints.Constraint,
        keras.dtype_policies.DTypePolicy,
        keras.dtype_policies.DTypePolicyMap,
        keras.initializers.Initializer,
        keras.layers.Layer,
        keras.quantizers.QuantizationConfig,
        keras.quantizers.Quantizer,
        keras.random.SeedGenerator,
        keras.regularizers.Regularizer,
    )


@functools.lru_cache
def _training_kinds():
    import keras

    return (
        keras.losses.Loss,
        keras.metrics.Metric,
        keras.optimizers.Optimizer,
        keras.optimizers.schedules.LearningRateSchedule,
    )


@functools.lru_cache
def _function_arguments(kind):
    """The arguments by which a layer or an operation takes a function, or code of other kinds."""
    import keras

    if not issubclass(kind, keras.Operation):
        return []
    arguments = {
        name
        for method in (kind.__init__, kind.call)
        for name in inspect.signature(method).parameters
    }
    return sorted(arguments & _FUNCTION_ARGUMENTS)


def _label(value):
    """The object's full name, as far as the file tells it."""
    module, name = value.get("module"), value["class_name"]
    if name == "function":
        name = value["config"]
    return _short(f"{module}.{name}" if isinstance(module, str) else name)


def _short(value):
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."
