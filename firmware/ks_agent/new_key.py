"""A new private key: from good randomness, and proven before it is kept."""

from .errors import LocalError
from .ports import KEY

# What a new key signs, and nobody sees.
PROOF = (b"KS-NEW-KEY-1",)


def new_seed(ports):
    """32 bytes, nowhere stored yet, of a key that has signed something and verified it.

    LocalError while there is no entropy, and for a key that was computed wrong.
    """
    rng, crypto = ports.rng, ports.crypto
    if not rng.is_ready():
        raise LocalError("no entropy")
    seed = rng.random_bytes(32)
    if len(seed) != 32 or seed in (bytes(32), rng.random_bytes(32), ports.vault.get(KEY)):
        raise LocalError("no entropy")
    # A signature made by faulty arithmetic can give its private key away.
    if not crypto.verify(crypto.public_key(seed), PROOF, crypto.sign(seed, PROOF)):
        raise LocalError("faulty key")
    return seed
