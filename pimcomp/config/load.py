"""Reading and writing chips: a YAML file, a simulator's config.json, or the bare name of a shipped chip."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import yaml

from pimcomp.config.fields import arch_keys, flatten, nest
from pimcomp.config.noc_file import complete_table, read_noc_tables
from pimcomp.config.schema import ChipDocument
from pimcomp.config.simulator import arch_from_simulator_config
from pimcomp.config.validation import validate
from pimcomp.config.yaml_loader import load_yaml
from pimcomp.errors import ConfigError, did_you_mean
from pimcomp.foundation.data_files import data_dir
from pimcomp.ir.arch import Arch, NocTable


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
    if not str(source).strip():
        raise ConfigError("a chip", "expected a file or a name, found nothing (a variable that is not set?)")
    if os.path.isfile(path):
        return path
    names = list_archs()
    if str(source) in names:
        return data_dir("configs") / f"{source}.yaml"
    hint = did_you_mean(path.stem, names)
    if os.path.isdir(path):
        raise ConfigError(str(source), f"is a folder: expected a chip's YAML or config.json{hint}")
    raise ConfigError(str(source), f"no such file, and no shipped chip has this name ({', '.join(names)}){hint}")


def _arch_from_yaml(path: Path) -> Arch:
    document = validate(ChipDocument, load_yaml(path), str(path))
    values = flatten(document)
    if values["psum_bits"] is None:
        values["psum_bits"] = values["activation_bits"]
    if (values["interconnect"] == "file") != bool(values["noc_file"]):
        found = f"file: {values['noc_file']!r}" if values["noc_file"] else "none"
        raise ConfigError(f"{path}: noc.file", f"expected with, and only with, interconnect: file; found {found}")
    table = _noc_table(path, values)
    name = document.name or path.stem
    try:
        return Arch(name=name, noc_table=table, **values)
    except ConfigError as error:
        raise ConfigError(str(path), _in_keys(str(error).removeprefix(f"{name}."))) from None


def _in_keys(message: str) -> str:
    """A message of Arch with the file's keys for its field names."""
    keys = dict(arch_keys(ChipDocument))
    return re.sub(r"\b(\w+)(?=: | = )", lambda match: keys.get(match[1], match[1]), message)


def _noc_table(path: Path, v: dict[str, int | float | str]) -> NocTable | None:
    if v["interconnect"] != "file":
        return None
    file = path.parent / str(v["noc_file"])
    if not os.path.isfile(file):
        raise ConfigError(f"{path}: noc.file", f"no such file: {file}")
    latency_ns, energy_pj = read_noc_tables(file, int(v["cores"]) * int(v["chips"]))
    return complete_table(file, latency_ns, energy_pj)


def arch_to_yaml(arch: Arch, notes: Sequence[str] = ()) -> str:
    """The YAML file of a chip, every key written out; `notes` become comments at its top.

    interconnect: file refers to the table by the name it had: keep the table beside the YAML.
    """
    head = "".join(f"# {note}\n" for note in notes)
    nested = {"name": arch.name} | nest(ChipDocument, arch)
    nested["crossbar"]["adc"]["bits"] = arch.adc_bits or "auto"
    return head + yaml.safe_dump(nested, sort_keys=False, allow_unicode=True, width=120)
