"""The nouns: frozen, unit-named data that the verbs of the compiler pass to each other."""
