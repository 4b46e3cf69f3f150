"""From a plan to a better one nearby."""
