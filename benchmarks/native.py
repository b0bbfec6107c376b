"""Sizes of native code in .mpy files: see `ks_viper.native`."""

from ks_viper.native import Malformed, Sizes, sizes

__all__ = ("Malformed", "Sizes", "sizes")
