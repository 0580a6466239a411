"""A `.keras` file as an archive: its members, their sizes, and what is checked in each."""

import json
import os
import re
import zipfile

from care_keras.files import first_line
from care_keras.models.keras_file.config import check_config
from care_keras.models.keras_file.weights import MAX_EXPANSION, check_weights, most_bytes

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"

# The quantized form of a CARE-S2 has 1.2 MB; a table of 500,000 numbers has 10 MB.
_MAX_CONFIG_BYTES = 10 * 2**20
_MAX_METADATA_BYTES = 2**20
# By the estimate below that form takes 6 MB once parsed, and such a table 30 MB.
_MAX_PARSED_BYTES = 30 * 2**20


def check_keras_file(path: str | os.PathLike) -> None:
    """Refuses a `.keras` file that could do more than build a model and fill its weights.

    Keras looks up what config.json names and calls some of it while the model is built, also
    in its safe mode. After this check `keras.models.load_model(path, compile=False)` meets
    nothing but Keras's own layers, operations and the like, and classes that this process has
    registered with `keras.saving.register_keras_serializable`, as care_keras's own are.
    Nothing is unpacked, and nothing is imported because the file says so.

    Args:
        path: The file.

    Raises:
        ValueError: In one line, what is wrong with the file.
    """
    path = os.fspath(path)
    try:
        _check(path)
    except ValueError as error:
        raise ValueError(f"{error} Received: {path!r}") from error


def _check(path):
    if not zipfile.is_zipfile(path):
        raise ValueError("Not a .keras file, or a damaged one.")
    # By another name Keras would read it as HDF5, as a checkpoint or not at all.
    if not path.endswith(".keras"):
        raise ValueError("The name of a model file must end in .keras.")
    try:
        archive = zipfile.ZipFile(path)
    # zipfile raises whatever the damaged part leads to.
    except Exception as error:
        raise ValueError(f"A damaged .keras file: {first_line(error)}.") from error
    with archive:
        members = _check_members(archive.infolist())
        most = most_bytes(os.path.getsize(path))
        # zipfile reads no more of a member than the size that is declared for it.
        if sum(member.file_size for member in members.values()) > most:
            raise ValueError(f"The file unpacks to more than {MAX_EXPANSION} times its size.")
        if METADATA in members:
            _read(archive, members[METADATA], _MAX_METADATA_BYTES)
        check_config(_parse(_read(archive, members[CONFIG], _MAX_CONFIG_BYTES)))
        check_weights(_read(archive, members[WEIGHTS], most), most)


def _check_members(infos):
    members = {}
    for info in infos:
        # The name as it is stored: zipfile cuts it at a zero byte and turns separators.
        name = info.orig_filename
        if name in members:
            raise ValueError(f"The file has two members of one name: {name[:80]!r}.")
        if not _is_member(name):
            raise ValueError(f"The file has a member that is no part of a model: {name[:80]!r}.")
        if info.flag_bits & 1:
            raise ValueError(f"A member of the file is encrypted: {name[:80]!r}.")
        # The other methods unpack without a bound on what one step gives.
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"A member of the file is packed in an unusual way: {name[:80]!r}.")
        members[name] = info
    for name in (CONFIG, WEIGHTS):
        if name not in members:
            raise ValueError(f"The file has no {name}, so it is no model that Keras has saved.")
    return members


def _is_member(name):
    """Whether Keras writes such a member: the three files, and vocabularies below assets/."""
    if name in (CONFIG, METADATA, WEIGHTS):
        return True
    folder, *parts = name.removesuffix("/").split("/")
    return folder == "assets" and all(
        re.fullmatch(r"[\w\-. ]+", part) and part.strip(". ") for part in parts
    )


def _read(archive, info, limit):
    try:
        with archive.open(info) as member:
            content = member.read(limit + 1)
    except Exception as error:
        raise ValueError(f"A damaged .keras file: {info.filename}: {first_line(error)}.") from error
    if len(content) > limit:
        raise ValueError(f"{info.filename} is larger than {limit / 2**20:.0f} MiB.")
    return content


def _parse(content):
    """The JSON as Keras parses it, unless it would take too much memory."""
    # What CPython needs for a value, a list and an object, at most.
    size = 60 * (content.count(b",") + content.count(b"[")) + 230 * content.count(b"{")
    # One character that is not ASCII widens all of a text, which is there twice; Keras writes none.
    size += 0 if content.isascii() else 8 * len(content)
    if size > _MAX_PARSED_BYTES:
        raise ValueError(f"{CONFIG} has too many values.")
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError(f"{CONFIG} is nested too deep.") from None
    except ValueError as error:
        raise ValueError(f"{CONFIG} is no JSON: {first_line(error)}.") from error
