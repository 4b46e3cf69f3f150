"""Kernels that write the instructions of one task."""
