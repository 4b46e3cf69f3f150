"""`pimdse precision`: as few bits for the weights of single layers as a loss of accuracy allows."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pimdse.commands.arguments import ArchOption, Model, WeightsOption, out_option
from pimdse.display.output import output_of, plain, wide_table

if TYPE_CHECKING:
    from rich.console import Console

    from spaces.precision import Narrowed

_EPILOG = """[bold]Examples[/bold]

pimdse precision digits_resnet8

pimdse precision digits_lenet5 --arch isaac --bits 8 --max-loss 0.5 --out lenet5.yaml

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
        int | None, typer.Option("--bits", metavar="N", help="Bits of all layers to start from; default the chip's.")
    ] = None,
    weights: WeightsOption = None,
    out: Annotated[Path | None, out_option("YAML to write; default results/precision/NAME-ARCH.yaml.", "FILE")] = None,
) -> None:
    """Find bits per layer: fewer crossbars, accuracy within a limit."""
    from pimcomp.config import read_arch
    from pimcomp.config.precision_file import precision_to_yaml
    from pimcomp.foundation.own_files import check_free, write_file
    from pimcomp.frontend import load_network
    from pimcomp.proof.trained import find_test_set
    from pimdse.compiling.building import file_label
    from spaces.precision import narrow

    output, chip = output_of(context), read_arch(arch)[0]
    target = out if out is not None else Path("results") / "precision" / f"{file_label(model, chip.name)}.yaml"
    check_free(target.parent, [target.name], "precision", (model, arch))
    with output.stages(f"narrowing {model} on {chip.name}") as observe:
        network = load_network(model, weights=weights)
        known = find_test_set(model, network, weights=weights)
        if known is None:
            output.note(f"{model} has no test images: its accuracy is the outputs' signal to noise on a random one, dB")
        found = narrow(network, known, chip, max_loss=max_loss, start_bits=bits, observe=observe)
    write_file(target, precision_to_yaml(found.weight_bits).encode(), "precision")
    unit = "%" if known else "dB"
    data = {"model": model, "arch": chip.name, "max_loss": max_loss, "accuracy_unit": unit, **asdict(found)}
    output.show({**data, "file": str(target)}, lambda console: _render(console, found, unit))
    output.note(f"next: pimdse compile {model} --arch {arch} --precision {target}")


def _render(console: "Console", found: "Narrowed", unit: str) -> None:
    header = ["layer", "bits", "crossbars before", "crossbars", f"first step alone, {unit}"]
    rows = [
        [
            layer.name,
            *map(str, (layer.bits, layer.crossbars_before, layer.crossbars)),
            "-" if layer.accuracy_alone is None else f"{layer.accuracy_alone:.2f}",
        ]
        for layer in found.layers
    ]
    wide_table(console, header, rows, numeric=header[1:])
    saved = 100 * (1 - found.crossbars / found.crossbars_before)
    plain(
        console,
        f"from {found.bits_before} bits: {found.crossbars_before:,} -> {found.crossbars:,} crossbars of one copy "
        f"({saved:.1f} % fewer), accuracy {found.accuracy_before:.2f} -> {found.accuracy:.2f} {unit}, "
        f"{found.measurements} measurements",
    )
