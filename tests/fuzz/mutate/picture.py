"""Encoded images whose chunks, segments and directories are not what they were."""

import random
import zlib

from tests.fuzz.mutate import binary

_PNG = b"\x89PNG\r\n\x1a\n"


def mutate(rng: random.Random, content: bytes, others: list[bytes]) -> bytes:
    """A chunk of a PNG, a segment of a JPEG, an entry of a TIFF's directory, or any bytes."""
    if rng.random() < 0.35:
        return binary.mutate(rng, content, others)
    if content.startswith(_PNG):
        return _png(rng, content)
    if content.startswith(b"\xff\xd8"):
        return _jpeg(rng, content, others)
    if content[:4] in (b"II*\0", b"MM\0*"):
        return _tiff(rng, content)
    # Sizes and counts of all others stand at their start.
    head = rng.choice((16, 64, 256))
    return binary.mutate(rng, content[:head], others) + content[head:]


def _png(rng, content):
    chunks, place = [], len(_PNG)
    while place + 12 <= len(content):
        size = int.from_bytes(content[place : place + 4], "big")
        chunks.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + size]))
        place += 12 + size
    change = rng.choice(("inside", "inside", "inside", "drop", "repeat", "swap", "name"))
    place = rng.randrange(len(chunks))
    kind, data = chunks[place]
    if change == "inside":
        if kind == b"IDAT" and rng.random() < 0.5:
            data = zlib.compress(binary.mutate(rng, zlib.decompress(data), [data]))
        else:
            data = binary.mutate(rng, data, [content])
        chunks[place] = kind, data
    elif change == "drop":
        del chunks[place]
    elif change == "repeat":
        chunks.insert(place, chunks[place])
    elif change == "swap":
        other = rng.randrange(len(chunks))
        chunks[place], chunks[other] = chunks[other], chunks[place]
    else:
        names = (b"PLTE", b"tRNS", b"eXIf", b"iCCP", b"zTXt", b"iTXt", b"acTL", b"fdAT", b"IEND")
        chunks[place] = rng.choice(names), data
    written = [_PNG]
    for kind, data in chunks:
        check = zlib.crc32(kind + data)
        written += [len(data).to_bytes(4, "big"), kind, data, check.to_bytes(4, "big")]
    return b"".join(written)


def _jpeg(rng, content, others):
    """Segments up to the pixels, each with its length."""
    segments, place = [], 2
    while place + 4 <= len(content) and content[place] == 0xFF and content[place + 1] != 0xDA:
        size = int.from_bytes(content[place + 2 : place + 4], "big")
        segments.append([content[place + 1], content[place + 4 : place + 2 + size]])
        place += 2 + size
    if segments:
        one = rng.choice(segments)
        change = rng.choice(("inside", "inside", "inside", "marker", "drop", "repeat"))
        if change == "inside":
            one[1] = binary.mutate(rng, one[1], others)[:65_000]
        elif change == "marker":
            one[0] = rng.choice((0xC0, 0xC2, 0xC4, 0xDB, 0xDD, 0xE0, 0xE1, 0xE2, 0xEE, 0xFE, 0xFF))
        elif change == "drop":
            segments.remove(one)
        else:
            segments.append(one)
    written = [
        bytes((0xFF, marker)) + (len(data) + 2).to_bytes(2, "big") + data
        for marker, data in segments
    ]
    return content[:2] + b"".join(written) + content[place:]


def _tiff(rng, content):
    """Entries of the first directory: tag, type, count, value."""
    data, order = bytearray(content), "little" if content[:2] == b"II" else "big"
    start = int.from_bytes(data[4:8], order)
    count = int.from_bytes(data[start : start + 2], order)
    for _ in range(rng.choice((1, 1, 2))):
        entry = start + 2 + 12 * rng.randrange(max(count, 1))
        offset, size = rng.choice(((0, 2), (2, 2), (4, 4), (8, 4), (8, 2)))
        number = rng.choice((0, 1, 2, 3, 4, 5, 7, 8, 16, 32, 254, 0xFFFF, 2**31, 2**32 - 1))
        data[entry + offset : entry + offset + size] = (number % 256**size).to_bytes(size, order)
    return bytes(data)
