"""Bits of a layer: what the compile chooses for it within what the chip has."""

from typing import NamedTuple


class Precision(NamedTuple):
    """Bits of a layer's weights, and of what its crossbars read of an input; 0: the chip's."""

    weight_bits: int = 0
    activation_bits: int = 0

    @property
    def given(self) -> dict[str, int]:
        """Those that are not the chip's, as precision files have them."""
        return {name: bits for name, bits in self._asdict().items() if bits}


CHIPS = Precision()
