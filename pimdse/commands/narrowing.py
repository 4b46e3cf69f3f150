"""`pimdse precision`: as few bits for weights and activations of single layers as a loss of accuracy allows."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pimdse.commands.arguments import ArchOption, Model, WeightsOption, out_option
from pimdse.display.output import output_of, plain, wide_table
from pimdse.display.units import figure_text

if TYPE_CHECKING:
    from rich.console import Console

    from spaces.precision import Narrowed

_UNITS = {"energy": "pJ", "latency": "ns"}
_KINDS = ("weight_bits", "activation_bits")
_EPILOG = """[bold]Examples[/bold]

pimdse precision digits_resnet8

pimdse precision digits_lenet5 --arch isaac --bits 8 --max-loss 0.5 --out lenet5.yaml

pimdse precision digits_resnet8 --goal energy

Accuracy is measured by bit-serial execution on the chip's crossbars. The file is for compile and verify --precision."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("precision", epilog=_EPILOG, rich_help_panel="One network")(precision)


def precision(
    context: typer.Context,
    model: Model,
    arch: ArchOption = "isaac",  # cells of the compiler's usual default hold a whole weight
    max_loss: Annotated[
        float,
        typer.Option(
            "--max-loss", metavar="N", help="Accuracy to lose: points of top-1; dB of the outputs without test images."
        ),
    ] = 1.0,
    bits: Annotated[
        int | None, typer.Option("--bits", metavar="N", help="Bits of all weights to start from; default the chip's.")
    ] = None,
    goal: Annotated[
        str,
        typer.Option(
            "--goal", metavar="WHAT", help="crossbars of one copy, or energy or latency of an image, by estimates."
        ),
    ] = "crossbars",
    weights: WeightsOption = None,
    out: Annotated[Path | None, out_option("YAML to write; default results/precision/NAME-ARCH.yaml.", "FILE")] = None,
) -> None:
    """Find bits per layer: fewer crossbars, or less energy or time; accuracy within a limit."""
    from pimcomp.config import read_arch
    from pimcomp.config.precision_file import precision_to_yaml
    from pimcomp.errors import check_name
    from pimcomp.foundation.own_files import check_free, write_file
    from pimcomp.frontend import load_network
    from pimcomp.proof.trained import find_test_set
    from pimdse.compiling.building import file_label
    from spaces.precision import Goal, narrow

    check_name("--goal", goal, tuple(Goal))
    output, chip = output_of(context), read_arch(arch)[0]
    target = out if out is not None else Path("results") / "precision" / f"{file_label(model, chip.name)}.yaml"
    check_free(target.parent, [target.name], "precision", (model, arch))
    with output.stages(f"narrowing {model} on {chip.name}") as observe:
        network = load_network(model, weights=weights)
        known = find_test_set(model, network, weights=weights)
        if known is None:
            output.note(f"{model} has no test images: its accuracy is the outputs' signal to noise on a random one, dB")
        found = narrow(network, known, chip, max_loss=max_loss, goal=Goal(goal), start_bits=bits, observe=observe)
    write_file(target, precision_to_yaml(found.precision).encode(), "precision")
    unit = "%" if known else "dB"
    data = {"model": model, "arch": chip.name, "max_loss": max_loss, "accuracy_unit": unit, **asdict(found)}
    data |= {"precision": {name: own.given for name, own in found.precision.items()}, "file": str(target)}
    output.show(data, lambda console: _render(console, found, unit))
    output.note(f"next: pimdse compile {model} --arch {arch} --precision {target}")


def _render(console: "Console", found: "Narrowed", unit: str) -> None:
    header = ["layer", "weights", "activations", "crossbars before", "crossbars", f"a step of either alone, {unit}"]
    rows = [
        [
            layer.name,
            *map(str, (layer.weight_bits, layer.activation_bits, layer.crossbars_before, layer.crossbars)),
            " / ".join(f"{layer.accuracy_alone[kind]:.2f}" if kind in layer.accuracy_alone else "-" for kind in _KINDS),
        ]
        for layer in found.layers
    ]
    wide_table(console, header, rows, numeric=header[1:])
    figures: list[tuple[str, str, float, float]] = [
        ("crossbars of one copy", "", found.crossbars_before, found.crossbars)
    ]
    if found.goal != "crossbars":
        figures.insert(0, (found.goal, _UNITS[found.goal], found.goal_before, found.goal_after))
    saved = ", ".join(
        f"{_amount(before, scale)} -> {_amount(after, scale)} {name} ({100 * (1 - after / before):.1f} % "
        f"{'less' if scale else 'fewer'})"
        for name, scale, before, after in figures
    )
    plain(
        console,
        f"from {found.bits_before} bits: {saved}, accuracy {found.accuracy_before:.2f} -> {found.accuracy:.2f} {unit}, "
        f"{found.measurements} measurements",
    )


def _amount(value: float, scale: str) -> str:
    return figure_text(value, scale) if scale else f"{value:,}"
