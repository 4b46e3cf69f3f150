"""The network as a chip had best compute it: graph to graph, equal outputs."""
