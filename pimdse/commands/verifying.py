"""`pimdse verify`: execute the emitted files and compare with onnxruntime."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from pimdse.commands.arguments import (
    DEFAULT_ARCH,
    ArchOption,
    PipelineOption,
    ScheduleOption,
    SeedOption,
    SolverOption,
    TimeLimitOption,
    WeightsOption,
)
from pimdse.output import output_of

_EPILOG = """[bold]Examples[/bold]

pimdse verify results/compile/squeezenet1_1-pimcomp_default-element

pimdse verify digits_resnet8 --pipeline batch --images 8

pimdse verify out/my --input picture.npy

With a MODEL the compile options count (--arch, --solver, ...); a DIR keeps the ones it was compiled with."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("verify", epilog=_EPILOG, rich_help_panel="One network")(verify)


def verify(
    context: typer.Context,
    target: Annotated[str, typer.Argument(metavar="DIR|MODEL", help="A compiled folder, or a model to compile first.")],
    images: Annotated[int, typer.Option("--images", metavar="N", min=1, help="How many random images to compare.")] = 4,
    input_file: Annotated[
        Path | None,
        typer.Option("--input", metavar="FILE", help="Images to use: .npy, .npz (one array per input) or .png."),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="MODEL", help="Where a compiled folder's network is now.")
    ] = None,
    arch: ArchOption = DEFAULT_ARCH,
    solver: SolverOption = "auto",
    pipeline: PipelineOption = "element",
    time_limit: TimeLimitOption = 10.0,
    seed: SeedOption = 0,
    weights: WeightsOption = None,
    options: ScheduleOption = None,
) -> None:
    """Prove that a compiled program computes what onnxruntime computes; exit status 1 if it does not."""
    from pimcomp.errors import ConfigError
    from pimdse.building import build, make_recipe, write
    from pimdse.compiled_folder import read_compiled_folder
    from pimdse.proof import prove, show_verdict

    output = output_of(context)
    if Path(target).is_dir():
        from pimcomp.frontend import load_network

        compiled = read_compiled_folder(Path(target))
        with output.stages(f"verifying {target}"):
            network = load_network(model or compiled.model, weights=compiled.weights)
            report = prove(Path(target), network, images=images, seed=seed, input_file=input_file)
        show_verdict(output, report, target)
        return
    if model is not None:
        raise ConfigError("--model", f"only for a compiled folder, and {target} is none")
    recipe = make_recipe(
        model=target,
        weights=weights,
        arch=arch,
        solver=solver,
        pipeline=pipeline,
        time_limit_s=time_limit,
        seed=seed,
        options=options,
    )
    with output.stages(f"verifying {recipe.label}") as observe, tempfile.TemporaryDirectory() as temporary:
        built = build(recipe, observe)
        program = Path(temporary) / "program"
        write(built, program)
        observe("write", None)
        report = prove(program, built.network, images=images, seed=seed, input_file=input_file)
    show_verdict(output, report, recipe.label)
