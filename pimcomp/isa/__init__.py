"""The instruction set: what an instruction is, reads and writes, and where its fields are in files."""
