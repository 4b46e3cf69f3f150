"""What is not about crossbars: versions, signals, kernels compiled ahead."""
