"""`pimdse compile` and `pimdse inspect`."""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from pimcomp.emit.choices import SAVES
from pimdse.commands.arguments import (
    DEFAULT_ARCH,
    ArchOption,
    HostOption,
    Model,
    Models,
    PipelineOption,
    PrecisionOption,
    ScheduleOption,
    SeedOption,
    SolverOption,
    TimeLimitOption,
    WeightsOption,
    out_option,
)
from pimdse.commands.completion import chip_names, outputs
from pimdse.display.output import output_of

_COMPILE_EPILOG = """[bold]Examples[/bold]

pimdse compile squeezenet1_1

pimdse compile my.onnx --arch configs/isaac.yaml --solver exact --pipeline batch --out out/my

pimdse compile resnet18 --weights random:0 --save evaluation,weights --json

pimdse compile squeezenet1_1 mobilenet_v2 --pipeline batch --combine worst

[bold]Coming from PIMCOMP-NN[/bold]

-m=NAME is MODEL · -r=balance is --solver balance (-r balance) · -p=element is --pipeline element (-p element) · \
-o, -v, -i=YES are --save evaluation,verification,intermediate · -s=YES is always on: program.gz and config.json load \
in pimsim-nn as they are."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("compile", epilog=_COMPILE_EPILOG, rich_help_panel="One network")(compile_)
    app.command("inspect", epilog=_INSPECT_EPILOG, rich_help_panel="One network")(inspect)


def compile_(
    context: typer.Context,
    models: Models,
    arch: ArchOption = DEFAULT_ARCH,
    solver: SolverOption = "auto",
    pipeline: PipelineOption = "element",
    time_limit: TimeLimitOption = None,
    seed: SeedOption = 0,
    weights: WeightsOption = None,
    options: ScheduleOption = None,
    segments: Annotated[
        bool,
        typer.Option(
            "--segments", help="Cut the network into programs that follow each other, crossbars written anew."
        ),
    ] = False,
    per_visit: Annotated[
        str,
        typer.Option(
            "--per-visit",
            metavar="N|auto",
            help="With --segments: so many images share a writing; auto: as many as pay in the chip's global memory.",
        ),
    ] = "1",
    host: HostOption = "allow",
    combine: Annotated[
        str,
        typer.Option(
            "--combine",
            metavar="worst|W,W",
            help="Several networks: cores for the least of the longest time, or of the times weighted so.",
        ),
    ] = "worst",
    precision: PrecisionOption = None,
    out: Annotated[Path | None, out_option("Folder to write; default results/compile/NAME-ARCH-PIPELINE.")] = None,
    save: Annotated[
        str,
        typer.Option(
            "--save", metavar="LIST", help=f"Further outputs, a list out of {', '.join(SAVES)}.", autocompletion=outputs
        ),
    ] = "",
    form: Annotated[
        str,
        typer.Option("--format", metavar="gz|directory|pim", help="directory, pim: one file per core as well."),
    ] = "gz",
) -> None:
    """Compile a network for a chip: instruction streams, predicted latency, throughput and energy.

    Several networks share the chip: each gets cores of its own, and one program runs all of them side by side; or, with
    --segments, each has the whole chip, one after the other.
    """
    from pimcomp.errors import CapacityError, ConfigError, check_name
    from pimdse.compiling.building import check_target, make_recipe, with_precision_file
    from pimdse.compiling.resident import WORST, aim_of, alone_data, compile_networks, labels_of, write_networks
    from pimdse.compiling.segmented import compile_segments, compile_whole, images_per_visit, with_lever
    from pimdse.compiling.summary import show_compiled, show_networks, show_segments

    output = output_of(context)
    several = len(models) > 1
    model = " + ".join(labels_of(models)) if several else models[0]
    recipe = make_recipe(
        model=model, weights=weights, arch=arch, solver=solver, pipeline=pipeline, time_limit_s=time_limit, seed=seed,
        options=options,
    )  # fmt: skip
    recipe = with_precision_file(recipe, precision)
    folder = out if out is not None else Path("results") / "compile" / recipe.label
    further = [name.strip() for name in save.split(",") if name.strip()]
    check_target(folder, recipe.arch, form=form, save=further, inputs=(*models, arch))
    check_name("--host", host, ("allow", "forbid"))
    images = images_per_visit(per_visit, recipe.arch, segments=segments)
    if several:
        if precision is not None:
            raise ConfigError("--precision", "for one network; these are several")
        aim_of(combine, len(models))
        if segments and combine != WORST:
            raise ConfigError("--combine", "only side by side: with --segments every network has the whole chip")
        recipe = dataclasses.replace(recipe, models=tuple(models), combine=combine)
    if several and not segments:
        with output.stages(f"compiling {recipe.label}") as observe:
            found, alone = compile_networks(recipe, folder, observe)
            content, report = write_networks(found, [*map(alone_data, alone)], folder, form=form, save=further)
        show_networks(output, content, report, folder)
        return
    allowed = host == "allow"
    if not segments:
        try:
            with output.stages(f"compiling {recipe.label}") as observe:
                made = compile_whole(recipe, folder, observe, form=form, save=further, host=allowed)
        except CapacityError as error:
            raise with_lever(error, recipe) from None
        if isinstance(made, dict):
            show_segments(output, made, folder)
        else:
            show_compiled(output, made[1], folder, made[0].stages_s)
        return
    if precision is not None:
        raise ConfigError("--precision", "it names layers of a whole network: not of segments")
    with output.stages(f"compiling {recipe.label} in segments") as observe:
        content = compile_segments(
            recipe, folder, observe, form=form, save=further, host=allowed, images_per_visit=images
        )
    show_segments(output, content, folder)


_INSPECT_EPILOG = """[bold]Examples[/bold]

pimdse inspect googlenet

pimdse inspect vgg16 --arch isaac"""


def inspect(
    context: typer.Context,
    model: Model,
    arch: Annotated[
        str | None,
        typer.Option(
            "--arch",
            "-a",
            metavar="CFG",
            help="Also show what the layers take on this chip.",
            autocompletion=chip_names,
        ),
    ] = None,
    weights: WeightsOption = None,
) -> None:
    """Show a network as the compiler sees it: feature maps, layers, and with --arch the crossbars they need."""
    from pimdse.compiling.inspection import show_network

    show_network(output_of(context), model, weights, arch)
