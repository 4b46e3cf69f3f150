"""What all tests share: golden files that a flag rewrites."""

from collections.abc import Callable
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parent / "golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite tests/golden; read the diff afterwards")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """`golden(text)`: compare with tests/golden/<module>/<test>.txt; --update-golden rewrites it."""

    def check(actual: str) -> None:
        path = GOLDEN / request.path.stem / f"{request.node.name}.txt"
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(actual, encoding="utf-8")
        elif not path.exists():
            pytest.fail(f"no {path.relative_to(GOLDEN.parent)}: run `make golden`, then read the diff")
        assert actual == path.read_text(encoding="utf-8")

    return check
