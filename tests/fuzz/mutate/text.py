"""Lines, words and numbers that are not what they were."""

import random
import re

from tests.fuzz.mutate import binary

_WORD = re.compile(rb"[\w.+-]+")
_DIGITS = re.compile(rb"\d+(?:\.\d+)?")
_NUMBERS = (b"0", b"-1", b"00", b"1e400", b"-1e400", b"nan", b"inf", b"-inf", b"1e", b".", b"")
_NUMBERS += (b"9" * 20, b"9" * 400, b"9" * 5000, b"1.2.3", b"--1", b"-.", b"0x10", b"1_0")
# Digits that `str.isdigit` takes and `int` does not, or takes as other ones.
_NUMBERS += ("\u00b2".encode(), "\u0663".encode())
_WORDS = (b"", b" ", b"\t", b":", b"=", b"[", b"]", b"(", b"\0", b"\r", b"\x1b[2J", b"\xff\xfe")
_WORDS += (b"x" * 10_000, "\u2028".encode(), "\u202e".encode(), b"%s", b"{}", b"'", b'"', b",")


def mutate(rng: random.Random, content: bytes, others: list[bytes]) -> bytes:
    """A few changes to a text; now and then to its bytes instead."""
    if rng.random() < 0.1:
        return binary.mutate(rng, content, others)
    for _ in range(rng.choice((1, 1, 2, 4))):
        content = rng.choice(_CHANGES)(rng, content, others)
    return content


def _replace(rng, content, pattern, values):
    found = list(pattern.finditer(content))
    if not found:
        return content
    one = rng.choice(found)
    return content[: one.start()] + rng.choice(values) + content[one.end() :]


def _number(rng, content, others):
    return _replace(rng, content, _DIGITS, _NUMBERS)


def _word(rng, content, others):
    words = [*_WORDS, *_WORD.findall(rng.choice(others))[:200]]
    return _replace(rng, content, _WORD, words)


def _lines(change):
    def changed(rng, content, others):
        lines = content.split(b"\n")
        change(rng, lines, others)
        return b"\n".join(lines)

    return changed


@_lines
def _drop(rng, lines, others):
    place = rng.randrange(len(lines))
    del lines[place : place + rng.choice((1, 1, 3))]


@_lines
def _repeat(rng, lines, others):
    lines.insert(rng.randrange(len(lines)), rng.choice(lines))


@_lines
def _swap(rng, lines, others):
    one, two = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[one], lines[two] = lines[two], lines[one]


@_lines
def _foreign(rng, lines, others):
    lines.insert(rng.randrange(len(lines) + 1), rng.choice(rng.choice(others).split(b"\n")))


@_lines
def _join(rng, lines, others):
    place = rng.randrange(len(lines))
    lines[place : place + 2] = [b"".join(lines[place : place + 2])]


def _cut(rng, content, others):
    return content[: rng.randrange(len(content) + 1)]


def _insert(rng, content, others):
    place = rng.randrange(len(content) + 1)
    return content[:place] + rng.choice((*_WORDS, *_NUMBERS)) + content[place:]


def _whole(rng, content, others):
    """What editors and terminals do to a whole file."""
    change = rng.choice(("crlf", "bom", "utf16", "twice", "spaces"))
    if change == "crlf":
        return content.replace(b"\n", b"\r\r\n")
    if change == "bom":
        return b"\xef\xbb\xbf" + content
    if change == "utf16":
        return content.decode(errors="replace").encode("utf-16")
    return content + rng.choice(others) if change == "twice" else content.replace(b" ", b"")


_CHANGES = (_number, _number, _number, _word, _word, _drop, _repeat, _swap, _foreign, _join)
_CHANGES += (_cut, _insert, _whole)
