"""Writes and compiles the native code of `ks_crypto`: viper source, generated, then mpy-cross.

This package runs where releases are built, never on a terminal. Each part is a module with a
function `source(word_bits)` that returns the text of a MicroPython module of viper functions.
"""
