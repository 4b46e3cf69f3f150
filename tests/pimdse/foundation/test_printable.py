"""What model files say cannot steer a terminal."""

from hypothesis import given
from hypothesis import strategies as st

from pimdse.foundation.printable import printable


def test_escape_sequences_become_visible() -> None:
    assert printable("conv\x1b[2J\x1b]0;title\x07\x9b1m") == r"conv\x1b[2J\x1b]0;title\x07\x9b1m"


def test_line_breaks_and_ordinary_text_stay() -> None:
    assert printable("a: b\n  café ⊕ 卷积") == "a: b\n  café ⊕ 卷积"


def test_text_that_reverses_the_reading_direction_becomes_visible() -> None:
    assert printable("a\u202eb") == r"a\u202eb"


@given(st.text())
def test_the_result_is_printable(text: str) -> None:
    assert all(c.isprintable() or c == "\n" for c in printable(text))


@given(st.text(st.characters(exclude_categories=["C", "Z"]), max_size=20))
def test_printable_text_is_untouched(text: str) -> None:
    assert printable(text) == text
