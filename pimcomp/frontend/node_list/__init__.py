"""Node lists, the JSON of PIMCOMP-NN: read and written."""
