"""Executes an emitted program: what the file says, on every core, in real numbers or in the chip's integers."""
