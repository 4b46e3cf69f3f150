"""Replication and mapping as one integer program."""
