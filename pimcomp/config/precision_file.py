"""Precision files: {layer: {weight_bits: N, activation_bits: N}}, what layers have in place of the chip's."""

from collections.abc import Mapping
from pathlib import Path

import yaml
from pydantic import Field, RootModel

from pimcomp.config.validation import Section, validate
from pimcomp.config.yaml_loader import load_yaml
from pimcomp.ir.precision import Precision


class LayerPrecision(Section):
    """What a layer has of its own; None: the chip's."""

    weight_bits: int | None = Field(None, ge=2, le=32)
    activation_bits: int | None = Field(None, ge=2, le=32)


class _Layers(RootModel[dict[str, LayerPrecision]]):
    pass


def read_precision(path: str | Path) -> dict[str, Precision]:
    """Bits by layer, from a YAML or JSON file. Raises ConfigError naming file and field."""
    layers = validate(_Layers, load_yaml(path), str(path)).root
    return {name: Precision(layer.weight_bits or 0, layer.activation_bits or 0) for name, layer in layers.items()}


def precision_to_yaml(precision: Mapping[str, Precision]) -> str:
    """What `read_precision` reads back."""
    layers = {name: own.given for name, own in precision.items()}
    return yaml.safe_dump(layers, sort_keys=False, width=10_000, allow_unicode=True, default_flow_style=None)
