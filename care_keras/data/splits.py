"""Names of splits: which of those that are there is meant."""

from collections.abc import Collection

_TRAIN = ("train", "training")
_VALIDATION = ("val", "valid", "validation")
_TEST = ("test", "testing")
KNOWN = (*_TRAIN, *_VALIDATION, *_TEST)


def choose_split(names: Collection[str], split: str) -> str | None:
    """The name among `names` that a split goes by, or `None`.

    `val`, `valid` and `validation` are one; they serve as `test` where there is
    none, as in folders of classes. Nothing else stands in for another.
    """
    alike = next((kind for kind in (_TRAIN, _VALIDATION, _TEST) if split in kind), ())
    more = _VALIDATION if alike == _TEST else ()
    return next((name for name in (split, *alike, *more) if name in names), None)


class NoSuchSplitError(ValueError):
    """A folder has splits, but not the one that was asked for."""

    def __init__(self, names: Collection[str], split: str, folder: str):
        super().__init__(
            f"The folder has the splits {', '.join(sorted(names))}. "
            f"Received: split={split!r}, folder={folder!r}"
        )
