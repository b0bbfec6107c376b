"""The peer of everything that signs: PyNaCl alone, one verification and one signature."""

from __future__ import annotations

from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair

from .pairing import rate

NAME = "PyNaCl verify + sign"
_SLICE_S = 0.15


class SignatureRate:
    """`request` and `answer` are canonical strings, as long as those that are really signed."""

    def __init__(self, request: bytes, answer: bytes) -> None:
        self._public, self._secret = crypto_sign_seed_keypair(b"p" * 32)
        self._signed = crypto_sign(request, self._secret)
        self._answer = answer

    def measure(self) -> float:
        """Pairs of verification and signature per second of CPU time."""
        return rate(self._pair, _SLICE_S)

    def _pair(self) -> None:
        crypto_sign_open(self._signed, self._public)
        crypto_sign(self._answer, self._secret)
