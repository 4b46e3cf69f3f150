"""One network on one chip: compiled, summed up, compared, made again."""
