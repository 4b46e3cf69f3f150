"""Options that several commands share, with one wording."""

from pathlib import Path
from typing import Annotated, Any

import typer

from pimcomp.errors import ConfigError
from pimdse.commands.completion import chip_names, folders, network_names, pipelines, solver_names

DEFAULT_ARCH = "pimcomp_default"


def out_path(text: str) -> Path:
    """Where to write. Raises ConfigError for an empty path, which would be the current folder: a variable not set."""
    if not text.strip():
        raise ConfigError("--out or --png", "expected a path, found nothing (a variable that is not set?)")
    return Path(text)


def out_option(meaning: str, metavar: str = "DIR", *short: str) -> Any:
    """`--out`, with what is written there and what is the default."""
    return typer.Option("--out", *short, parser=out_path, metavar=metavar, help=meaning)


_MODEL = (
    "An ONNX file, a PIMCOMP-NN node-list JSON, a name from [bold]pimdse models[/bold], or a PyTorch module "
    "as [bold]package.module:factory[/bold] or .pt2 (extra [bold]torch[/bold])"
)
Model = Annotated[str, typer.Argument(metavar="MODEL", help=f"{_MODEL}.", autocompletion=network_names)]
Models = Annotated[
    list[str],
    typer.Argument(
        metavar="MODEL",
        help=f"{_MODEL}; several are side by side on the chip, or take turns (--segments).",
        autocompletion=network_names,
    ),
]
ArchOption = Annotated[
    str,
    typer.Option(
        "--arch",
        "-a",
        metavar="CFG",
        help="A chip's YAML, a simulator's config.json, or a name from [bold]pimdse archs[/bold].",
        autocompletion=chip_names,
    ),
]
SolverOption = Annotated[
    str,
    typer.Option(
        "--solver",
        "-r",
        metavar="SOLVER",
        help="A name from [bold]pimdse solvers[/bold], with options behind it as in lns:budget=8:most=100.",
        autocompletion=solver_names,
    ),
]
PipelineOption = Annotated[
    str,
    typer.Option(
        "--pipeline",
        "-p",
        metavar="element|batch",
        help="element: one image soonest. batch: most images per second.",
        autocompletion=pipelines,
    ),
]
TimeLimitOption = Annotated[
    float | None,
    typer.Option(
        "--time-limit",
        metavar="S",
        min=0.0,
        help="Seconds for the solver: what it searches shrinks with them, the clock ends the rest. Default: its own.",
    ),
]
_MAX_SEED = (1 << 63) - 1  # reports are JSON, whose readers know 64 bits


def checked_seed(value: int | None) -> int | None:
    """A seed; the range is not in the help, whose columns it would make too narrow for the rest."""
    if value is not None and not 0 <= value <= _MAX_SEED:
        raise typer.BadParameter(f"expected 0 to {_MAX_SEED}, found {value}")
    return value


SeedOption = Annotated[
    int, typer.Option("--seed", metavar="N", callback=checked_seed, help="Decides everything random.")
]
WeightsOption = Annotated[
    str | None,
    typer.Option(
        "--weights", metavar="random:SEED", help="Replace the model's weights by seeded random ones (fan-in scaled)."
    ),
]
ScheduleOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="A scheduling option, such as images_per_round=4. Repeatable."),
]
PrecisionOption = Annotated[
    Path | None,
    typer.Option(
        "--precision",
        metavar="FILE",
        help="YAML or JSON with the weight bits of single layers: {layer: {weight_bits: 4}}.",
    ),
]
HostOption = Annotated[
    str,
    typer.Option(
        "--host",
        metavar="allow|forbid",
        help="Nodes without instructions: left to the host, or the network is refused with all of them.",
    ),
]
LimitOption = Annotated[
    list[str] | None,
    typer.Option(
        "--limit",
        metavar="METRIC<=N",
        help="A hard limit (<=, <, >=, >): latency<2ms, crossbars<=8000. Repeatable.",
    ),
]
Folder = Annotated[
    Path, typer.Argument(metavar="DIR", help="A folder that a command of pimdse wrote.", autocompletion=folders)
]
