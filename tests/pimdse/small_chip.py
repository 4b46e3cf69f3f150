"""A chip for the smallest networks, with the beginning of a sweep."""

SMALL_SWEEP = """
name: small
chip: {cores: 16, crossbars_per_core: 8}
crossbar: {rows: 64, cols: 64, cell_bits: 8, dac: {count: 64}}
core: {rob_size: 1}
sweep:
  model: digits_mlp
"""
