"""Options of solvers: one syntax wherever a solver is named, and an explanation of each."""

import pytest

from pimcomp.errors import ConfigError
from solvers import SOLVER_NAMES, canonical, get_solver, solver_options
from solvers.options import joined, kind_of, split_list


@pytest.mark.parametrize(
    "spec",
    ["auto:budget=16:most=400", "auto:budget=16,most=400", "AUTO: budget = 16 , most=400", "auto,budget=16,most=400"],
)
def test_colons_and_commas_separate_options(spec: str) -> None:
    assert canonical(spec) == "auto:budget=16:most=400"
    assert get_solver(spec) == get_solver("auto", {"budget": 16.0, "most": 400})


def test_an_option_in_a_list_of_solvers_belongs_to_the_solver_in_front() -> None:
    assert list(split_list("balance, lns:budget=2,most=9,auto,,ga")) == ["balance", "lns:budget=2:most=9", "auto", "ga"]
    assert list(split_list("")) == []
    assert list(joined(["", "a", " "])) == ["", "a", ""], "an empty name is told, not dropped"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("auto:budget=much", r"solver\.auto\.budget: expected a number, found 'much'; .* auto:budget=4\.0:most=60"),
        ("auto:most=4.5", r"solver\.auto\.most: expected a whole number, found '4\.5'"),
        ("auto:budget", r"solver\.auto\.budget: expected a value; options are written as in auto:budget"),
        ("auto:budgt=4", r"solver\.auto\.budgt: unknown option; .* did you mean 'budget'"),
        ("auto:Most=4", r"did you mean 'most'"),
        ("balance:depth=1", r"solver\.balance\.depth: unknown option; balance has none"),
        ("atuo", r"solver: expected one of balance, .* found 'atuo'; did you mean 'auto'"),
        ("lns:scatter=maybe", r"expected true or false, found 'maybe'"),
        ("lns:most=-1", r"expected a whole number from 0 to 1e\+09"),
        ("nsga2:objectives=time+energie", r"did you mean 'energy'"),
    ],
)
def test_a_wrong_option_names_itself_and_the_syntax(spec: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        get_solver(spec)


@pytest.mark.parametrize("name", SOLVER_NAMES)
def test_every_option_says_what_it_takes_and_means(name: str) -> None:
    for option in solver_options(name).values():
        assert kind_of(option)
        assert option.metadata["meaning"]
