"""On PYTHONPATH: a process, and all that it starts, in which TensorFlow is not installed."""

import importlib.machinery
import importlib.metadata

ABSENT = ("tensorflow", "tensorflow_datasets", "tf_keras")

_find_spec = importlib.machinery.PathFinder.find_spec
_from_name = importlib.metadata.Distribution.from_name


def find_spec(fullname, path=None, target=None):
    return None if fullname.partition(".")[0] in ABSENT else _find_spec(fullname, path, target)


def from_name(name):
    if name.replace("-", "_") in ABSENT:
        raise importlib.metadata.PackageNotFoundError(name)
    return _from_name(name)


importlib.machinery.PathFinder.find_spec = staticmethod(find_spec)
importlib.metadata.Distribution.from_name = staticmethod(from_name)
