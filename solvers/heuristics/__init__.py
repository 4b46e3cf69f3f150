"""Rules that decide at once: the reference compiler's, and short rows for low latency."""
