"""A campaign finds what is planted, goes on behind it, and shows it again."""

import random

import pytest

from tests.fuzz import campaign, worker
from tests.fuzz.formats import find
from tests.fuzz.mutate import archive, binary, json_text, text

WORDS = {
    "hang": "the process was stopped after 1 s",
    "crash": "the process was ended by SIGSEGV",
    "memory": "MemoryError",
    "lines": "ValueError of several lines",
    "length": "ValueError of 5010 characters",
    "nameless": "ValueError that does not say of what",
    "foreign": "KeyError",
    "warning": "a warning is shown: a word to the user",
}


def run(name, folder, mutants=3):
    return campaign.run(f"tests.fuzz.planted:{name}", 0, mutants, 60, folder, lambda found: None)


@pytest.mark.parametrize("name", WORDS)
def test_what_is_planted_is_found(name, tmp_path, monkeypatch):
    if name == "hang":
        monkeypatch.setattr(campaign, "LIMIT_SECONDS", 1)
    found = run(name, tmp_path / "found")
    # A mutant that is the sound file is no finding.
    assert found.mutants == 3 and found.accepted + found.refused <= 1
    (words,) = found.findings.values()
    assert words.startswith(WORDS[name])
    (path,) = (tmp_path / "found").iterdir()
    assert str(path) in words
    again = campaign.replay(path)["finding"]
    assert again.partition(" (")[0] == words.partition(" (")[0]


@pytest.mark.parametrize("name", ["accepted", "refused"])
def test_what_is_as_it_shall_be_is_none(name, tmp_path):
    found = run(name, tmp_path / "found", mutants=50)
    assert found.mutants == 50 == found.accepted + found.refused and not found.findings
    assert getattr(found, name) > 40 and not (tmp_path / "found").exists()


def test_only_files_of_a_campaign_are_shown_again(tmp_path):
    for path in (tmp_path / "x", tmp_path / "logs-0-1.log"):
        with pytest.raises(ValueError, match="--replay takes .* Received: "):
            campaign.replay(path)


def test_a_mutant_is_always_the_same():
    one = find("tests.fuzz.planted:accepted")
    made = [worker.mutant(one, [b"abc", b"def"], "x", 0, number) for number in range(40)]
    assert made == [worker.mutant(one, [b"abc", b"def"], "x", 0, number) for number in range(40)]
    assert len(set(made)) > 20


@pytest.mark.parametrize(
    ("mutate", "content"),
    [
        (binary.mutate, bytes(range(256))),
        (text.mutate, b"count=3 first=1.5\n\nlast: [7]\n"),
        (json_text.mutate, b'{"a": [1, 2.5, "x"], "b": {"c": null}}'),
    ],
)
def test_mutations_take_what_mutations_have_made(mutate, content):
    """Also of nothing: the end of a file is a place in it."""
    for number in range(300):
        rng = random.Random(number)
        made = mutate(rng, content, [content])
        assert isinstance(made, bytes)
        binary.mutate(rng, made, [made]), text.mutate(rng, made, [made, b""])


def test_members_of_archives_are_found_again():
    rng = random.Random(0)
    content = archive.write(rng, [("a", b"one"), ("b/c", b"two")])
    assert archive.read(content) == [("a", b"one"), ("b/c", b"two")]
    seen = set()
    for number in range(200):
        rng = random.Random(number)
        seen.add(archive.mutate(rng, content, [content], lambda rng, name, inside: inside + b"!"))
    assert len(seen) > 50
