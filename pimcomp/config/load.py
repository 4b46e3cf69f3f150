"""Reading and writing chips: a YAML file, a simulator's config.json, or the bare name of a shipped chip."""

from collections.abc import Sequence
from pathlib import Path

import yaml

from pimcomp.config.fields import flatten, nest
from pimcomp.config.noc_file import complete_table, read_noc_tables
from pimcomp.config.schema import ChipDocument
from pimcomp.config.simulator import arch_from_simulator_config
from pimcomp.config.validation import validate
from pimcomp.config.yaml_loader import load_yaml
from pimcomp.errors import ConfigError, did_you_mean
from pimcomp.foundation.data_files import data_dir
from pimcomp.ir.arch import MAX_CORES, Arch, NocTable


def list_archs() -> tuple[str, ...]:
    """Names of the shipped chips, sorted."""
    return tuple(sorted(path.stem for path in data_dir("configs").glob("*.yaml")))


def load_arch(source: str | Path) -> Arch:
    """The chip in a YAML file, a PIMCOMP-NN / pimsim-nn config.json, or shipped under a bare name ("isaac").

    A JSON file is read with physical crossbars and its notes are dropped; `read_arch` returns them. Raises ConfigError.
    """
    return read_arch(source)[0]


def read_arch(source: str | Path) -> tuple[Arch, tuple[str, ...]]:
    """`load_arch`, and notes on what a simulator's config.json leaves open (none for YAML)."""
    path = find_arch(source)
    if path.suffix.lower() == ".json":
        return arch_from_simulator_config(path)
    return _arch_from_yaml(path), ()


def find_arch(source: str | Path) -> Path:
    """The file that `source` names: an existing one, or a shipped chip's. Raises ConfigError with those there are."""
    path = Path(source)
    if path.is_file():
        return path
    names = list_archs()
    if str(source) in names:
        return data_dir("configs") / f"{source}.yaml"
    hint = did_you_mean(path.stem, names)
    if path.is_dir():
        raise ConfigError(str(source), f"is a folder: expected a chip's YAML or config.json{hint}")
    raise ConfigError(str(source), f"no such file, and no shipped chip has this name ({', '.join(names)}){hint}")


def _arch_from_yaml(path: Path) -> Arch:
    document = validate(ChipDocument, load_yaml(path), str(path))
    values = flatten(document)
    if values["psum_bits"] is None:
        values["psum_bits"] = values["activation_bits"]
    for field, problem in _inconsistencies(values):
        raise ConfigError(f"{path}: {field}", problem)
    table = _noc_table(path, values)
    try:
        return Arch(name=document.name or path.stem, noc_table=table, **values)
    except ConfigError as error:
        raise ConfigError(str(path), str(error)) from None


def _inconsistencies(v: dict[str, int | float | str]) -> list[tuple[str, str]]:
    """(field, problem) of values that are right alone and wrong together.

    The simulator divides rows by converters and cuts off the remainder: time and energy would be too small.
    """
    problems = [
        (field, f"expected a divisor of {of} = {v[total]}, found {v[divisor]}: the simulator cuts off the rest")
        for field, divisor, of, total in (
            ("crossbar.dac.count", "dac_count", "crossbar.rows", "crossbar_rows"),
            ("crossbar.adc.count", "adc_count", "crossbar.cols", "crossbar_cols"),
            ("crossbar.dac.bits", "dac_bits", "numbers.activation_bits", "activation_bits"),
        )
        if int(v[total]) % int(v[divisor])
    ]
    if v["psum_bits"] != v["activation_bits"]:
        problems.append(
            ("numbers.psum_bits", f"expected activation_bits = {v['activation_bits']}, found {v['psum_bits']}")
        )
    if float(v["vector_latency_ns"]) % 1:
        problems.append(
            ("core.vector_latency_ns", f"expected a whole number of ns, found {v['vector_latency_ns']}: "
             "the simulator reads integers")
        )  # fmt: skip
    if int(v["cores"]) * int(v["chips"]) > MAX_CORES:
        problems.append(("chip.chips", f"expected at most {MAX_CORES} cores in all, found {v['cores']} x {v['chips']}"))
    if int(v["mesh_rows"]) > int(v["cores"]):
        problems.append(("noc.mesh_rows", f"expected at most chip.cores = {v['cores']}, found {v['mesh_rows']}"))
    if (v["interconnect"] == "file") != bool(v["noc_file"]):
        found = f"file: {v['noc_file']!r}" if v["noc_file"] else "none"
        problems.append(("noc.file", f"expected with, and only with, interconnect: file; found {found}"))
    return problems


def _noc_table(path: Path, v: dict[str, int | float | str]) -> NocTable | None:
    if v["interconnect"] != "file":
        return None
    file = path.parent / str(v["noc_file"])
    if not file.is_file():
        raise ConfigError(f"{path}: noc.file", f"no such file: {file}")
    latency_ns, energy_pj = read_noc_tables(file, int(v["cores"]) * int(v["chips"]))
    return complete_table(file, latency_ns, energy_pj)


def arch_to_yaml(arch: Arch, notes: Sequence[str] = ()) -> str:
    """The YAML file of a chip, every key written out; `notes` become comments at its top.

    interconnect: file refers to the table by the name it had: keep the table beside the YAML.
    """
    head = "".join(f"# {note}\n" for note in notes)
    nested = {"name": arch.name} | nest(ChipDocument, arch)
    return head + yaml.safe_dump(nested, sort_keys=False, allow_unicode=True, width=120)
