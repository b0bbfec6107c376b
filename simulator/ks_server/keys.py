"""The server's keys: reading them, the chain of server keys, and which one answers a device.

The chain is PROTOCOL section 2: every server key but the first is introduced by a link, a
signature of the key before it over `KS-LINK-1|SEQ:n|KEY:...`. Links outlive the private keys that
made them (table server_links), so an old private key may be thrown away once its link is stored.

Nothing here shows key material in an error or a `repr`.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from ks_agent import signing
from ks_agent.errors import PeerError

from .settings import DAY_MS, Settings

SEED_BYTES = 32
SECRET_BYTES = 32


class ConfigurationError(Exception):
    """The configuration cannot work; the text names the setting and never shows its value."""


def load_seed(text: str) -> bytes:
    """Read an Ed25519 private key: PEM (PKCS8) text, base64 of the 32-byte seed, or a path to
    a file with either.

    Raises ConfigurationError, which does not repeat the text.
    """
    text = text.strip()
    if "-----BEGIN" in text:
        return _seed_of_pem(text)
    try:
        return bytes(signing.unb64(text, SEED_BYTES))
    except PeerError:
        pass
    try:
        content = Path(text).read_text("ascii")
    except (OSError, ValueError):
        raise ConfigurationError(
            "a private key is neither PEM, nor base64 of 32 bytes, nor a readable file"
        ) from None
    if "-----BEGIN" in content:
        return _seed_of_pem(content)
    try:
        return bytes(signing.unb64(content.strip(), SEED_BYTES))
    except PeerError:
        raise ConfigurationError("a key file holds neither PEM nor base64 of 32 bytes") from None


def _seed_of_pem(text: str) -> bytes:
    # an environment variable often carries the line ends of a PEM as backslash and n
    data = text.replace("\\n", "\n").encode("utf-8")
    try:
        key = load_pem_private_key(data, password=None)
    except (ValueError, TypeError):
        raise ConfigurationError("a PEM is not an unencrypted PKCS8 private key") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigurationError("a PEM holds a key that is not Ed25519")
    return key.private_bytes_raw()


def write_pem(seed: bytes) -> bytes:
    """The seed as an unencrypted PKCS8 PEM, the form OpenSSL reads."""
    key = Ed25519PrivateKey.from_private_bytes(seed)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def write_secret_file(path: Path, data: bytes) -> None:
    """Make a new file that only its owner can read, on disk before this returns.

    Raises FileExistsError: a key is never overwritten.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink()  # half a key would be in the way for ever
        raise


def server_key_path(settings: Settings) -> Path:
    """Where the server's private key lies when SERVER_PRIVATE_KEY is unset."""
    return settings.data / "keys" / "server.pem"


def download_secret(settings: Settings) -> bytes:
    """The secret under FW3's tokens: DOWNLOAD_SECRET, else one made once in the data folder."""
    configured = settings.download_secret.get_secret_value()
    if configured:
        return configured.encode("utf-8")
    path = settings.data / "keys" / "download.secret"
    if not path.exists():
        # another process of this server may make it in between
        with contextlib.suppress(FileExistsError):
            write_secret_file(path, secrets.token_hex(SECRET_BYTES).encode("ascii"))
    secret = path.read_bytes().strip()
    if len(secret) < SECRET_BYTES:
        raise ConfigurationError("the download secret in the data folder is cut short")
    return secret


def public_keys(setting: str, texts: Iterable[str]) -> tuple[bytes, ...]:
    """Decode the public keys of a setting. Raises ConfigurationError naming the setting."""
    try:
        keys = tuple(bytes(signing.decode_public_key(text)) for text in texts)
    except PeerError:
        raise ConfigurationError(f"{setting} holds something that is no public key") from None
    if len(set(keys)) != len(keys):
        raise ConfigurationError(f"{setting} holds a key twice")
    return keys


@dataclass(frozen=True)
class Link:
    """One place of the chain, as stored in server_links.

    `signature` is that of key `seq - 1` over the link's text, empty for the first key.
    `created_ms` is when this server first used the key (Unix milliseconds).
    """

    seq: int
    key: str
    signature: str
    created_ms: int


@dataclass(frozen=True)
class ServerKey:
    """A server key whose private half is at hand."""

    seq: int
    public: bytes
    kid: str
    seed: bytes = field(repr=False)


class ServerKeys:
    """The chain of server keys, with private keys for those that are configured.

    Built by `ServerKeys.build`; immutable afterwards.
    """

    def __init__(
        self, chain: Sequence[Link], kids: Sequence[str], own: dict[int, ServerKey], window_ms: int
    ) -> None:
        self.chain = tuple(chain)
        self.current = own[self.chain[-1].seq]
        self._own = own
        self._window_ms = window_ms
        self._kids = tuple(kids)
        self._position = {kid: index for index, kid in enumerate(kids)}

    @classmethod
    def build(
        cls,
        crypto: Any,
        seeds: Sequence[bytes],
        stored: Sequence[Link],
        now_ms: int,
        legacy_window_days: int,
    ) -> ServerKeys:
        """Join the configured seeds (oldest first, the current one last) with the stored chain.

        Keys that are not in the chain yet are added and linked, each by the one before it.
        Raises ConfigurationError when the chain and the configuration contradict each other:
        the current key must be the newest of the chain or follow it.
        """
        chain = sorted(stored, key=lambda link: link.seq)
        if [link.seq for link in chain] != list(range(1, len(chain) + 1)):
            raise ConfigurationError("the stored chain of server keys has a gap")
        texts = [signing.b64(crypto.public_key(seed)) for seed in seeds]
        if len(set(texts)) != len(texts):
            raise ConfigurationError("a server key is configured twice")
        seed_of = dict(zip(texts, seeds, strict=True))
        known = {link.key for link in chain}
        for text in texts:
            if text in known:
                continue
            signature = ""
            if chain:
                previous = seed_of.get(chain[-1].key)
                if previous is None:
                    raise ConfigurationError(
                        "SERVER_PRIVATE_KEY is new, and the key before it is missing from "
                        "SERVER_PREVIOUS_PRIVATE_KEYS: nothing can link them"
                    )
                signature = signing.sign_text(
                    crypto, previous, signing.link_text(len(chain) + 1, text)
                )
            chain.append(Link(len(chain) + 1, text, signature, now_ms))
        if not seeds or chain[-1].key != texts[-1]:
            raise ConfigurationError(
                "SERVER_PRIVATE_KEY is not the newest key that this server has used"
            )
        own: dict[int, ServerKey] = {}
        kids = []
        for link in chain:
            public = bytes(signing.decode_public_key(link.key))
            kids.append(str(signing.key_id(crypto, public)))
            if link.key in seed_of:
                own[link.seq] = ServerKey(link.seq, public, kids[-1], seed_of[link.key])
        return cls(chain, kids, own, legacy_window_days * DAY_MS)

    def kid_of(self, seq: int) -> str:
        """KID of a key of the chain. Raises IndexError for a number outside it."""
        return self._kids[seq - 1]

    def links_from(self, kid: str) -> list[dict[str, str]] | None:
        """The rows of the answer's LINK list for a device whose newest key is `kid`.

        Empty when that is the current key; None when the chain does not know it.
        """
        position = self._position.get(kid)
        if position is None:
            return None
        return [
            {"SEQ": str(link.seq), "KEY": link.key, "SIG": link.signature}
            for link in self.chain[position + 1 :]
        ]

    def for_legacy(self, server_seq: int, now_ms: int) -> ServerKey:
        """The key that answers a device which names no KID and pinned number `server_seq`.

        That key, while its private half is configured and LEGACY_KEY_WINDOW_DAYS have not passed
        since the next one took over; afterwards the current key.
        """
        pinned = self._own.get(server_seq)
        if pinned is None or pinned is self.current:
            return self.current
        replaced_ms = self.chain[server_seq].created_ms  # chain[n] is key n + 1
        return pinned if now_ms < replaced_ms + self._window_ms else self.current


def configured_seeds(settings: Settings) -> list[bytes]:
    """The private keys of the configuration, oldest first, the current one last.

    Raises ConfigurationError when there is no current key.
    """
    previous = settings.server_previous_private_keys.get_secret_value()
    seeds = [load_seed(text) for text in previous.split(",") if text.strip()]
    current = settings.server_private_key.get_secret_value()
    if current.strip():
        seeds.append(load_seed(current))
        return seeds
    path = server_key_path(settings)
    if not path.is_file():
        raise ConfigurationError(
            "there is no server key: set SERVER_PRIVATE_KEY, or let `ks serve` make one"
        )
    seeds.append(load_seed(str(path)))
    return seeds
