"""What is frozen into MicroPython for this board: see boards/README.md."""

# ruff: noqa: F821 -- MicroPython's tools/manifestfile.py defines the functions
# mypy: ignore-errors

include("../manifest.py")
