"""Long lines of reports."""

from care_keras.console.wrapped import wrapped


def test_lines_break_between_words():
    words = [f"word{i}" for i in range(60)]
    lines = wrapped(" ".join(words)).splitlines()
    assert len(lines) > 2 and max(map(len, lines)) <= 100
    assert " ".join(line.strip() for line in lines).split() == words
    assert all(line.startswith("    ") for line in lines[1:])


def test_a_long_name_stays_whole():
    name = "a/" * 80
    assert name in wrapped(f"the file {name} is long").replace("\n", " ").split()
