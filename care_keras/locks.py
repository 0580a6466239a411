"""Locks that keep other processes out of a file or folder, freed however this process ends."""

import os


def try_lock(file: int | object, by_process: bool = False) -> bool | None:
    """Locks an open file, or a folder, for this process alone.

    Args:
        file: A descriptor, or what has a `fileno()`; the lock lasts until it is closed.
        by_process: Whether this process may lock the file again by another opening of
            it; the file must then be open for writing, and any closing frees it.

    Returns:
        `False` if another process has the lock; `None` where there are no locks, as on
        Windows and some file systems of networks.
    """
    if os.name != "posix":
        return None
    import fcntl  # Unix alone has it.

    lock = fcntl.lockf if by_process else fcntl.flock
    try:
        lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return None
    return True
