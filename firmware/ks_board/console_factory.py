"""What the factory's station may ask of a terminal that is not provisioned yet.

Every step may be cut off by the power at any moment and asked for again. The terminal becomes
provisioned by one atomic step, the last: `seal` renames what `write factory` has left.
"""

import asyncio
import gc

from ks_agent import envelope, tokens
from ks_agent.errors import LocalError
from ks_agent.identity import Identity
from ks_agent.ports import KEY, random_hex
from ks_agent.store import Store

from .console_refusal import (
    MALFORMED,
    NO_RADIO,
    NOT_ALLOWED,
    NOT_KEYED,
    SEALED,
    TEST_FAILED,
    UNKNOWN_OP,
    Refusal,
)
from .console_text import sealed_hello, text_of

ALLOW_INJECTION = "allow_injection"
CHALLENGE_DIGITS = 64
NONCE_BYTES = 16
HEX = "0123456789abcdef"
# Each is loaded for what needs it, and let go: together they would not fit beside the features.
SELDOM = (
    "console_write", "console_trust", "console_words", "new_key", "identity_changes", "signing",
    "factory", "toon_table", "toon_text",
)  # fmt: skip
# For the host to ask again whether it was sealed; `restart` ends it.
LINGER_S = 3
FLUSH_S = 0.05


class FactoryDesk:
    """`facts`: what `hello` tells (`console_facts`); `tester`: the factory test (`console_tests`);
    `radio`: see `console_radio`. `reason` is "restart" at the end.
    """

    def __init__(self, ports, facts, tester, radio):
        self._ports = ports
        self._facts = facts
        self._tester = tester
        self._radio = radio
        self._store = Store(ports.fs)
        self._identity = Identity(ports, self._store)
        self._sealed_d1 = None
        self._ending = None
        self.over = asyncio.Event()
        self.reason = None
        self._operations = {
            "hello": self._hello,
            "test": self._test,
            "make_key": self._make_key,
            "inject_key": self._inject_key,
            "prove": self._prove,
            "write": self._write,
            "seal": self._seal,
            "restart": self._restart,
        }

    async def perform(self, op, request):
        operation = self._operations.get(op)
        if operation is None:
            raise Refusal(UNKNOWN_OP, "no such operation")
        if self._sealed_d1 is not None and op not in ("hello", "restart"):
            raise Refusal(SEALED, "the terminal is provisioned")
        try:
            return await operation(request)
        finally:
            self._ports.board.unload(SELDOM)

    async def _hello(self, request):
        if self._sealed_d1 is not None:
            return sealed_hello(self._facts, self._sealed_d1)
        fields = dict(self._facts, STATE="blank", HEAP=str(free_bytes()))
        if self._identity.seed is not None:
            fields["STATE"] = "keyed"
            fields["PUB"] = self._identity.public_text()
        if self._identity.adopted:
            fields["D1"] = self._identity.d1
        return fields

    async def _test(self, request):
        return await self._tester.test(text_of(request, "NAME"), request, self._radio)

    async def _make_key(self, request):
        if self._identity.seed is None:
            self._radio.on()
            if not self._ports.rng.is_ready():
                raise Refusal(NO_RADIO, "without the radio no key is random")
            from ks_agent.new_key import new_seed

            try:
                seed = new_seed(self._ports)
            except LocalError as error:
                raise Refusal(TEST_FAILED, str(error))
            self._keep(seed)
        return {"PUB": self._identity.public_text()}

    async def _inject_key(self, request):
        """Only where the image was built for it."""
        if not self._store.exists(ALLOW_INJECTION):
            raise Refusal(NOT_ALLOWED, "this image takes no key")
        seed = envelope.unb64(text_of(request, "SEED"), 32)
        if self._identity.seed not in (None, seed):
            raise Refusal(NOT_ALLOWED, "another key is there")
        if self._identity.seed is None:
            from ks_agent.new_key import PROOF

            crypto = self._ports.crypto
            if not crypto.verify(crypto.public_key(seed), PROOF, crypto.sign(seed, PROOF)):
                raise Refusal(TEST_FAILED, "faulty key")
            self._keep(seed)
        return {"PUB": self._identity.public_text()}

    def _keep(self, seed):
        from ks_agent import identity_changes

        if self._identity.can("key_made"):
            identity_changes.take_first_seed(self._identity, self._ports.vault, seed)
        else:  # a former life's records say that it is over
            raise Refusal(NOT_ALLOWED, "an erased terminal: erase the whole flash")

    async def _prove(self, request):
        """Signs the one context KS-PROOF-1, with a nonce of the terminal's own."""
        if self._identity.seed is None:
            raise Refusal(NOT_KEYED, "make_key comes first")
        d1 = text_of(request, "D1")
        tokens.check_value("D1", d1)
        challenge = text_of(request, "CHALLENGE")
        if len(challenge) != CHALLENGE_DIGITS or challenge.strip(HEX):
            raise Refusal(MALFORMED, "CHALLENGE is not 64 hex digits")
        from ks_agent import signing

        nonce = random_hex(self._ports.rng, NONCE_BYTES)
        text = signing.proof_text(d1, self._identity.public_text(), challenge, nonce)
        return {
            "NONCE": nonce,
            "SIG": signing.sign_text(self._ports.crypto, self._identity.seed, text),
        }

    async def _write(self, request):
        from .console_write import write

        return write(self._ports, self._store, self._identity, request)

    async def _seal(self, request):
        from ks_agent.factory import PATH

        from .console_words import STAGED, check_complete

        if self._identity.seed is None or self._ports.vault.get(KEY) != self._identity.seed:
            raise Refusal(NOT_KEYED, "make_key comes first")
        d1 = check_complete(self._ports.fs, self._identity)
        self._ports.fs.rename(STAGED, PATH)
        self._sealed_d1 = d1
        self.reason = "restart"
        self._ending = asyncio.create_task(self._end_after(LINGER_S))
        return {"D1": d1}

    async def _restart(self, request):
        if self._sealed_d1 is None:
            raise Refusal(NOT_ALLOWED, "not sealed yet")
        self._ending = asyncio.create_task(self._end_after(FLUSH_S))  # the answer goes out first
        return {}

    async def _end_after(self, seconds):
        await asyncio.sleep(seconds)
        self.over.set()


def free_bytes():
    """Of the Python heap; 0 where it has no limit."""
    if not hasattr(gc, "mem_free"):
        return 0
    gc.collect()
    return gc.mem_free()
