"""A compiled folder: what is in it, what it does, and what shows that it is right."""
