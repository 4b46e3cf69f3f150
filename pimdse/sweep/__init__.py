"""Many chips: a sweep run, shown and picked from."""
