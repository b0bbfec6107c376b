"""The power goes at every operation of every phase of a terminal: `python -m tests.sweep`."""
