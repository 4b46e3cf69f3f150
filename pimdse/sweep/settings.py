"""From a file and the command line to a checked sweep, and what its results depend on besides the settings."""

import dataclasses
from pathlib import Path

from pimcomp.config import find_arch, load_arch, load_yaml
from pimcomp.errors import ConfigError, ModelError
from pimcomp.frontend import load_network
from pimdse.folder.compiled import recorded_model
from pimdse.foundation.digest import digest
from pimdse.foundation.versions import own_version
from spaces.space import Network, Sweep
from spaces.sweep_file import parse_sweep


def load_sweep(source: str) -> Sweep:
    """The sweep of a chip's YAML file (or of a shipped chip). Raises ConfigError."""
    path = find_arch(source)
    if path.suffix.lower() == ".json":
        raise ConfigError(source, "a config.json has no sweep: section; `pimdse import-config` turns it into YAML")
    # A shipped chip is named by its name: where it is installed is nobody's business.
    file = source if source == str(path) else f"{source}.yaml"
    sweep = parse_sweep(
        load_yaml(path).get("sweep"),
        arch=load_arch(path),
        file=file,
        load_chip=lambda name: load_arch(find_arch(name)),
    )
    return dataclasses.replace(sweep, networks=tuple(_near(n, path.parent) for n in sweep.networks))


def _near(network: Network, folder: Path) -> Network:
    """A network is named as seen from here, or from its sweep's folder."""
    beside = folder / network.model
    there = not Path(network.model).is_file() and beside.is_file()
    return dataclasses.replace(network, model=str(beside)) if there else network


def same_networks(sweep: Sweep, content: dict[str, str], folder: Path) -> Sweep:
    """A stored sweep with its networks where they are now. Raises ModelError if one is gone, or is another one now."""
    networks = tuple(dataclasses.replace(n, model=recorded_model(n.model, folder)) for n in sweep.networks)
    found = dataclasses.replace(sweep, networks=networks)
    if study_content(found)["network"] != content["network"]:
        names = ", ".join(n.model for n in networks)
        raise ModelError(
            f"{names}: not what {folder} was searched with (its content differs): sweep into another --out"
        )
    return found


def study_content(sweep: Sweep) -> dict[str, str]:
    """Digest of the networks and version of pimdse: with others, stored figures would not be comparable.

    Raises ModelError, which names the sweep's file, or UnsupportedOp before any worker starts.
    """
    try:
        graphs = tuple(load_network(n.model, weights=n.weights).graph for n in sweep.networks)
    except ModelError as error:
        raise ModelError(f"sweep of {sweep.file}: {error}") from None
    return {"network": digest(graphs if len(graphs) > 1 else graphs[0]), "version": own_version()}
