"""Contents of whole cores as columns: a stronger bound, and the plans behind it."""
