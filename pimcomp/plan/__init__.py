"""From a graph and a chip to what a solver decides, and what is known about it before it is decided."""
