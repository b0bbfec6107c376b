"""Lines of source text."""


def indented(lines, levels=1):
    """The lines, four spaces further in for each level."""
    return ["    " * levels + line for line in lines]


def block(lines):
    """The lines as one text, each ended, twelve spaces in."""
    # All generated lines are in loops that are as deep.
    return "".join(" " * 12 + line + "\n" for line in lines)
