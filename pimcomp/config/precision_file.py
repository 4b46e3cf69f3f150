"""Precision files: {layer: {weight_bits: N}}, what single layers have in place of the chip's."""

from collections.abc import Mapping
from pathlib import Path

import yaml
from pydantic import Field, RootModel

from pimcomp.config.validation import Section, validate
from pimcomp.config.yaml_loader import load_yaml


class LayerPrecision(Section):
    """What a layer has of its own."""

    weight_bits: int = Field(ge=2, le=32)


class _Layers(RootModel[dict[str, LayerPrecision]]):
    pass


def read_precision(path: str | Path) -> dict[str, int]:
    """Bits of the weights by layer, from a YAML or JSON file. Raises ConfigError naming file and field."""
    layers = validate(_Layers, load_yaml(path), str(path)).root
    return {name: layer.weight_bits for name, layer in layers.items()}


def precision_to_yaml(weight_bits: Mapping[str, int]) -> str:
    """What `read_precision` reads back."""
    layers = {name: {"weight_bits": bits} for name, bits in weight_bits.items()}
    return yaml.safe_dump(layers, sort_keys=False, width=10_000, allow_unicode=True, default_flow_style=None)
