"""Virtual terminals: the terminal's own code on memory or folders, alone or in fleets."""
