"""Lines of source text."""


def indented(lines, levels=1):
    """The lines, four spaces further in for each level."""
    return ["    " * levels + line for line in lines]
