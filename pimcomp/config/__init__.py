"""Chips from files: typed and checked at the edge, a frozen `Arch` inside."""

from pimcomp.config.load import arch_to_yaml, find_arch, list_archs, load_arch, read_arch
from pimcomp.config.simulator import arch_from_simulator_config
from pimcomp.config.validation import Section, validate
from pimcomp.config.yaml_loader import load_yaml

__all__ = [
    "Section",
    "arch_from_simulator_config",
    "arch_to_yaml",
    "find_arch",
    "list_archs",
    "load_arch",
    "load_yaml",
    "read_arch",
    "validate",
]
