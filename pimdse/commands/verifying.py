"""`pimdse verify`: execute the emitted files and compare with onnxruntime."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pimdse.commands.arguments import (
    DEFAULT_ARCH,
    ArchOption,
    HostOption,
    PipelineOption,
    PrecisionOption,
    ScheduleOption,
    SeedOption,
    SolverOption,
    TimeLimitOption,
    WeightsOption,
)
from pimdse.display.output import output_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pimcomp.frontend import LoadedNetwork
    from pimcomp.proof.executed import VerifyReport
    from pimcomp.proof.executed_in_integers import IntegerReport

_EPILOG = """[bold]Examples[/bold]

pimdse verify results/compile/squeezenet1_1-pimcomp_default-element

pimdse verify digits_resnet8 --pipeline batch --images 8

pimdse verify out/my --input picture.npy

pimdse verify digits_resnet8 --integer

With --integer a shipped trained network must keep its top-1 accuracy on its test images, within one point of
onnxruntime; any other must correlate with onnxruntime on random images (or those of --input). With a DIR the scales
and integer weights are left there as integer.npz.

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
    integer: Annotated[
        bool, typer.Option("--integer", help="Execute in the chip's integers, calibrated, instead of real numbers.")
    ] = False,
    model: Annotated[
        str | None, typer.Option("--model", metavar="MODEL", help="Where a compiled folder's network is now.")
    ] = None,
    arch: ArchOption = DEFAULT_ARCH,
    solver: SolverOption = "auto",
    pipeline: PipelineOption = "element",
    time_limit: TimeLimitOption = None,
    seed: SeedOption = 0,
    weights: WeightsOption = None,
    options: ScheduleOption = None,
    host: HostOption = "allow",
    precision: PrecisionOption = None,
) -> None:
    """Prove that a compiled program computes what onnxruntime computes; exit status 1 if it does not."""
    from pimcomp.errors import ConfigError, check_name
    from pimdse.compiling.building import make_recipe, with_precision_file
    from pimdse.compiling.reproduction import network_of_folder
    from pimdse.compiling.segmented import compile_whole
    from pimdse.folder.compiled import is_compiled_folder
    from pimdse.folder.proof import prove, prove_integer, prove_segments, show_verdict
    from pimdse.folder.segments import is_segments_folder, read_segments

    output = output_of(context)

    def proven(
        folder: Path, networks: "Sequence[LoadedNetwork]", source: str | None, own: str | None, *, save: bool
    ) -> "VerifyReport | IntegerReport":
        if integer:
            return prove_integer(
                folder, networks, model=source, weights=own, images=images, seed=seed, input_file=input_file, save=save
            )
        if is_segments_folder(folder):
            return prove_segments(folder, networks, images=images, seed=seed, input_file=input_file)
        return prove(folder, networks[0], images=images, seed=seed, input_file=input_file)

    if is_segments_folder(target):
        index = read_segments(Path(target))
        with output.stages(f"verifying {target}"):
            report = proven(index.path, index.wholes(model), model, index.content["weights"], save=True)
        show_verdict(output, report, target)
        return
    if is_compiled_folder(target):
        with output.stages(f"verifying {target}"):
            network, source, own = network_of_folder(Path(target), model)
            report = proven(Path(target), [network], source, own, save=True)
        show_verdict(output, report, target)
        return
    if model is not None:
        raise ConfigError("--model", f"only for a compiled folder, and {target} is none")
    recipe = make_recipe(
        model=target, weights=weights, arch=arch, solver=solver, pipeline=pipeline, time_limit_s=time_limit, seed=seed,
        options=options,
    )  # fmt: skip
    recipe = with_precision_file(recipe, precision)
    check_name("--host", host, ("allow", "forbid"))
    with output.stages(f"verifying {recipe.label}") as observe, tempfile.TemporaryDirectory() as temporary:
        program = Path(temporary) / "program"
        made = compile_whole(recipe, program, observe, host=host == "allow")
        networks = read_segments(program).wholes(target) if isinstance(made, dict) else [made[0].network]
        report = proven(program, networks, target, weights, save=False)
    show_verdict(output, report, recipe.label)
