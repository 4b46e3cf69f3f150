"""Where the time of one pass goes: the critical path, every core's use of it, and who waits for whom."""

from pimcomp.attribution.attribute import Attribution, attribute

__all__ = ["Attribution", "attribute"]
