"""Where the commands keep things: the server's data folder, and the offline keys apart from it.

.ks/keys/server.pem       the server's key            (KS_DATA, `ks_server.settings`)
.ks/trust.toon            the public keys of all roles
.ks/admin.token           bearer token of the admin API
.ks/terminals/D1/         what `ks simulate` keeps of a terminal
.ks-offline/              release and administrator keys; belongs on another machine
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from ks_agent.errors import Malformed
from ks_server.keys import ConfigurationError, load_seed, write_pem, write_secret_file
from ks_simulator.keys import RoleKeys, TrustedKey, decode_trust, encode_trust

from .console import ToolError

DEFAULT_DATA = Path(".ks")
DEFAULT_OFFLINE = Path(".ks-offline")
TOKEN_BYTES = 32


@dataclass(frozen=True)
class Workspace:
    """The two folders, and what lies where in them."""

    data: Path = DEFAULT_DATA
    offline: Path = DEFAULT_OFFLINE

    @classmethod
    def of(cls, data: Path | None, offline: Path | None = None) -> Workspace:
        """From options, then the environment (KS_DATA, KS_OFFLINE_KEYS), then the defaults."""
        return cls(
            data or Path(os.environ.get("KS_DATA") or DEFAULT_DATA),
            offline or Path(os.environ.get("KS_OFFLINE_KEYS") or DEFAULT_OFFLINE),
        )

    @property
    def server_key(self) -> Path:
        return self.data / "keys" / "server.pem"

    @property
    def trust(self) -> Path:
        return self.data / "trust.toon"

    @property
    def admin_token(self) -> Path:
        return self.data / "admin.token"

    @property
    def release_key(self) -> Path:
        return self.offline / "release.pem"

    @property
    def admin_keys(self) -> tuple[Path, Path]:
        return self.offline / "admin-a.pem", self.offline / "admin-b.pem"

    def make_keys(self) -> list[TrustedKey]:
        """Make every role's key. Raises ToolError, having written nothing, when one is there."""
        for path in (self.server_key, self.trust, self.release_key, *self.admin_keys):
            if path.exists():
                raise ToolError(f"{path} is there already, and a key is never overwritten")
        keys = RoleKeys.make()
        seeds = (keys.server, keys.release, *keys.admins)
        paths = (self.server_key, self.release_key, *self.admin_keys)
        trusted = keys.trusted()
        made: list[Path] = []
        try:
            self.make_data_folder()
            for seed, path in zip(seeds, paths, strict=True):
                write_secret_file(path, write_pem(seed))
                made.append(path)
            made.append(self.trust)
            self.trust.write_bytes(encode_trust(trusted))
        except BaseException:
            for path in made:  # the next try must not find a part of them in its way
                path.unlink(missing_ok=True)
            raise
        return trusted

    def make_data_folder(self) -> None:
        """Nobody else may look into it: the database holds what devices are told."""
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)

    def read_trust(self) -> list[TrustedKey]:
        """The public keys. Raises ToolError."""
        return read_trust(self.trust)

    def provide_admin_token(self) -> str:
        """The admin token, made at the first call."""
        if not self.admin_token.exists():
            token = secrets.token_urlsafe(TOKEN_BYTES)
            write_secret_file(self.admin_token, token.encode("ascii"))
        token = self.admin_token.read_text("ascii", "replace").strip()
        if not token:
            raise ToolError(f"{self.admin_token} is empty: remove it, and a new one is made")
        return token

    def find_admin_token(self) -> str:
        """The admin token: ADMIN_TOKEN, else the workspace's. Raises ToolError."""
        token = os.environ.get("ADMIN_TOKEN", "")
        if token:
            return token
        try:
            return self.admin_token.read_text("ascii").strip()
        except OSError:
            raise ToolError(
                f"no admin token: set ADMIN_TOKEN, or run where {self.admin_token} is"
            ) from None


def read_trust(path: Path) -> list[TrustedKey]:
    """The public keys of a file trust.toon. Raises ToolError."""
    try:
        return decode_trust(path.read_bytes())
    except OSError:
        raise ToolError(f"{path} is missing; make keys with: ks keys") from None
    except (Malformed, KeyError, ValueError, AttributeError, TypeError):
        raise ToolError(f"{path} is not a list of trusted keys") from None


def read_seed(path: Path) -> bytes:
    """A private key from its file. Raises ToolError, which shows nothing of the content."""
    if not path.is_file():
        raise ToolError(f"{path} is not there; keys are made with: ks keys")
    try:
        return load_seed(str(path))
    except ConfigurationError as error:
        raise ToolError(f"{path}: {error}") from None
