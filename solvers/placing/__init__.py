"""Which core holds which array group: fits, spreads and exchanges."""
