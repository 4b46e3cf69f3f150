"""The reference page is the schema's, and is up to date."""

from pathlib import Path

from pimcomp.config.reference import reference_text


def test_the_reference_page_is_up_to_date() -> None:
    page = Path(__file__).parents[2] / "docs" / "config-reference.md"
    assert page.read_text(encoding="utf-8") == reference_text(), "run `make docs`"
