"""The terminal's own key, changed on the server's command and without ever losing both.

The new key is stored before the server hears of it. In doubt the terminal heartbeats with the new
one: a signed answer commits it, otherwise the old one goes on (PROTOCOL section 5).
"""

from . import envelope
from .errors import PeerError, Refused
from .new_key import new_seed
from .ports import KEY, KEY_NEXT


class Rotation:
    def __init__(self, ports, identity, exchange):
        self._ports = ports
        self._identity = identity
        self._exchange = exchange

    @property
    def pending(self):
        """A new key is kept: in doubt, or committed and not acknowledged yet."""
        return self._ports.vault.get(KEY_NEXT) is not None

    @property
    def committed(self):
        return self._ports.vault.get(KEY_NEXT) == self._identity.seed

    @property
    def in_doubt(self):
        return self.pending and not self.committed

    def rotate(self):
        """Raises Refused, PeerError or OSError; unless the server clearly does not want the new
        key, it is in doubt then. Raises LocalError where no key can be made now.
        """
        vault = self._ports.vault
        # A key that was asked for before, and refused or lost, may still reach the server.
        seed = vault.get(KEY_NEXT) if self.in_doubt else new_seed(self._ports)
        if not self.in_doubt:
            vault.set(KEY_NEXT, seed)
        crypto = self._ports.crypto
        tokens = {"D3": envelope.b64(crypto.public_key(seed))}

        def seal(request):
            envelope.sign_message(crypto, seed, request, "SIG_NEW")

        try:
            yield from self._exchange.call("rotate-key", tokens, None, seal)
        except Refused as refused:
            # Others may be about a second copy of a request that was accepted (NONCE_REUSE).
            if refused.code == "UNAUTHORIZED":
                vault.erase(KEY_NEXT)
            raise
        self._commit(seed)

    def resolve(self, heartbeat):
        """True if the new key turned out to be the one that the server knows, False if it is the
        old one. The new one is kept even then: a request may still be on its way.
        """
        vault = self._ports.vault
        old = self._identity.seed
        seed = vault.get(KEY_NEXT)
        self._identity.use_seed(seed)
        try:
            yield from self._exchange.call("heartbeat", heartbeat)
        except Refused:
            pass
        except (PeerError, OSError):
            self._identity.use_seed(old)
            yield from self._ask_with_old(heartbeat)
            return False
        self._commit(seed)
        return True

    def _ask_with_old(self, heartbeat):
        try:
            yield from self._exchange.call("heartbeat", heartbeat)
        except Refused:
            pass

    def forget(self):
        """The command is acknowledged, so no request of ours can still change the key."""
        self._ports.vault.erase(KEY_NEXT)

    def _commit(self, seed):
        self._ports.vault.set(KEY, seed)
        self._identity.use_seed(seed)
