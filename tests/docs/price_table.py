"""The components' table in docs/price.md, from the models themselves. `make docs` writes it."""

from pimcomp.config import load_arch
from pimcomp.ir.price.components import COMPONENTS, Price
from pimcomp.ir.price.figures import prices_at
from tests.docs.pages import ROOT

PAGE = ROOT / "docs" / "price.md"
_BEGIN, _END = "<!-- components: make docs -->\n", "<!-- end of components -->"


def table() -> str:
    """Markdown: a row per component, with what the models alone say of ISAAC's."""
    isaac = prices_at(load_arch("isaac").parameters)
    head = "| component | law | source | area at ISAAC's point | energy of an action | static |\n" + "|---" * 6 + "|\n"
    rows = [f"| `{c.name}` | {c.law} | {c.source} | {_cells(c.action, isaac[c.name])} |\n" for c in COMPONENTS]
    return head + "".join(rows)


def with_table(page: str) -> str:
    """The page with the table between its two marks."""
    before, rest = page.split(_BEGIN)
    return before + _BEGIN + "\n" + table() + "\n" + _END + rest.split(_END)[1]


def _cells(action: str, cost: Price) -> str:
    area = f"{float(cost.area_mm2):.3g} mm2" if cost.area_mm2 else ""
    static = f"{float(cost.static_mw):.3g} mW" if cost.static_mw else ""
    return f"{area} | {float(cost.energy_pj):.3g} pJ: {action} | {static}"


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
