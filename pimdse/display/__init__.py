"""Words, numbers and tables for people and for machines."""
