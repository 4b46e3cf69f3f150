"""A design from inside: the parts of its area and its energy are all of them."""

from dataclasses import replace

import pytest

from pimcomp.compile import compile_network
from pimcomp.config import load_arch
from pimcomp.frontend import load_network
from solvers import get_solver
from spaces.inside import inside_of


@pytest.mark.parametrize("chip", ["isaac", "puma", "pimcomp_default"])
def test_parts_add_up_to_the_whole(chip: str) -> None:
    arch = replace(load_arch(chip), adc_bits=5)
    compiled = compile_network(load_network("digits_mlp").graph, arch, get_solver("balance"))
    inside = inside_of(compiled, "digits_mlp")
    assert sum(inside.area_mm2.values()) == pytest.approx(arch.area_mm2)
    assert sum(inside.energy_pj.values()) == pytest.approx(compiled.energy_pj)
    assert {"adc", "cells"} <= inside.area_mm2.keys() or chip == "puma"
    assert inside.lossless == (arch.adc_mode == "ideal")
    assert inside.accuracy_by["converters"].startswith("ideal" if inside.lossless else "5 bits of")
