"""Every component has a source, grows with its parameters, and is priced for many chips as for one.

Covers: node.
"""

import numpy as np
import pytest

from pimcomp.config import load_arch
from pimcomp.ir.price.components import COMPONENTS, Component, Parameters, price
from pimcomp.ir.price.node import area_factor, energy_factor
from tests.docs.price_table import PAGE, with_table

ISAAC = load_arch("isaac").parameters
named = pytest.mark.parametrize("component", COMPONENTS, ids=lambda c: c.name)


@named
def test_a_price_grows_with_its_parameters_and_has_a_source(component: Component) -> None:
    assert component.source
    assert component.law
    for name, own in ISAAC._asdict().items():
        values = np.linspace(7, 130, 60) if name == "node_nm" else np.arange(1, 17) * max(own / 8, 1)
        p = ISAAC._replace(**{name: values})
        laws = (component.area_mm2, component.energy_pj, component.static_mw)
        steps = [np.diff(np.asarray(law(p)) + 0 * values) for law in laws]
        if name in component.grows_with:
            assert all((step >= 0).all() for step in steps), name
            assert any((step > 0).all() for step in steps), name
        else:
            assert all((step <= 0).all() for step in steps), f"{name}: grows, and is not said to"


def test_many_chips_are_priced_like_each_alone() -> None:
    rng = np.random.default_rng(0)
    many = Parameters(*(value * rng.integers(1, 5, 40) for value in ISAAC))
    together = price(many)
    for i in range(0, 40, 7):
        alone = price(Parameters(*(values[i] for values in many)))
        for name, cost in together.items():
            for array, number in zip(cost, alone[name], strict=True):
                assert np.broadcast_to(array, 40)[i] == pytest.approx(number, rel=1e-12)


def test_32_nm_is_the_scale_of_nodes() -> None:
    assert (area_factor(32), energy_factor(32)) == (pytest.approx(1), pytest.approx(1))
    assert area_factor(45) == pytest.approx(2.2)


def test_the_page_of_prices_is_that_of_the_models() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert with_table(page) == page, "make docs"
