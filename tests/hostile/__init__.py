"""Hostile input: mutated models, chips, configurations and compiled folders, thrown at the command line.

    python -m tests.hostile --cases 2000          # a few minutes
    python -m tests.hostile --only 1234           # one case again, with what was said

Every case must end within 10 s, in bounded memory, with status 0 or with status 2 and a message that names the place;
nothing is written outside the output folder, nothing from a file is executed.
"""
