"""Writes programs and everything that goes with them."""
