"""The folder on the phone that a run works in."""

import pathlib

WORK_FOLDER = "/data/local/tmp/care_keras_bench"


def check_folder(folder: str) -> None:
    """Refuses a work folder that could not be cleaned up, or that benchmark_model misreads.

    Raises:
        ValueError: If it is no folder of its own below `/data/local/tmp`.
    """
    path = pathlib.PurePosixPath(folder)
    parent = pathlib.PurePosixPath("/data/local/tmp")
    if parent not in path.parents or ".." in path.parts:
        raise ValueError(
            f"The work folder must be a folder of its own below {parent}. Received: {folder!r}"
        )
    # They separate files in --input_layer_value_files.
    if set(folder) & set(",:\0\n"):
        raise ValueError(
            f"The work folder's name must have no comma, colon or line end. Received: {folder!r}"
        )
