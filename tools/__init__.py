"""Helpers of the build: what `make` calls besides the product itself."""
