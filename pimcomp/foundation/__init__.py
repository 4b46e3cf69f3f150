"""What is not about crossbars: compiled kernels, files that are ours, what a file is."""
