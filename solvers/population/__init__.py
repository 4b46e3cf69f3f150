"""Many plans at once: a genetic algorithm, and NSGA-II's front."""
