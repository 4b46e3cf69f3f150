"""What a chip costs: area, energy and static power of its components as functions of its parameters.

docs/price.md has the models and their sources. A published chip keeps its own figures; `figures` scales them by the
ratio of the models (`components`) at the changed and at the published parameters.
"""
