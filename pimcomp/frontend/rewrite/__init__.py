"""Graph to graph: what every chip is better off with."""
