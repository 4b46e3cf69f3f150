"""Ways to choose a chip: the space of a sweep, the evaluation of one candidate, the search, fronts and hypervolume."""
