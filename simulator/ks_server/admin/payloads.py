"""What may stand in a command's payload, beyond the names that the protocol's table gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from ks_agent import command_forms, config_check, lines, schema, signing, timetext, tokens
from ks_agent.errors import KsError, Malformed, MissingToken
from ks_agent.log import LEVELS

from ..context import Context
from ..keys import public_keys
from .errors import ApiError

RELEASE_SIGNATURE: Final = "RELEASE_SIG"
ROLES: Final = ("server", "release", "admin")
SECRET_FIELDS: Final = ("WIFI_PASSWORD",)
HIDDEN: Final = "[hidden]"
# as sent, escaped; beside it are ids, signatures, the binding and a few links of server keys
CMD3_MAX_BYTES: Final = tokens.ANSWER_MAX_BYTES - 2048
_SYNTAXES: Final = (signing.TOON, signing.LINES)


def compose_payload(server: Context, name: str, payload: Mapping[str, str]) -> str | None:
    """CMD3 as text, or None when there is nothing to say.

    Raises ApiError INVALID, naming the field, for what the device would refuse.
    """
    try:
        command_forms.check_payload(name, dict(payload))
        if name == "APPLY_CONFIG":
            _check_config(payload)
    except MissingToken as error:
        raise ApiError("INVALID", "payload: missing " + ", ".join(error.missing)) from None
    except Malformed as error:
        raise ApiError("INVALID", "payload: " + error.reason) from None
    for key, value in payload.items():
        check = _CHECKS.get(key)
        if check is not None and not check(value):
            raise ApiError("INVALID", f"payload: bad {key}")
    if name == "TRUST_KEY":
        _check_trust(server, payload)
    if not payload:
        return None
    data: bytes = lines.encode(dict(payload))
    try:
        again = lines.decode(data, tokens.VALUE_MAX_BYTES)
    except Malformed as error:
        raise ApiError("INVALID", "payload: " + error.reason) from None
    if again != dict(payload):
        raise ApiError("INVALID", "payload: does not survive being sent")
    text = data.decode("utf-8")
    if max(len(signing.compose({"CMD3": text}, kind)) for kind in _SYNTAXES) > CMD3_MAX_BYTES:
        raise ApiError("INVALID", "payload: is larger than an answer to the device may be")
    return text


def shown_payload(cmd3: str | None) -> dict[str, str]:
    """The payload for people: secrets are hidden."""
    if cmd3 is None:
        return {}
    payload = lines.decode(cmd3.encode("utf-8"), tokens.VALUE_MAX_BYTES)
    return {key: HIDDEN if key in SECRET_FIELDS else str(value) for key, value in payload.items()}


def needs_two_admins(name: str, payload: Mapping[str, str]) -> bool:
    """Whether PROTOCOL section 5 asks for two administrators' signatures."""
    role_admin = name == "TRUST_KEY" and payload.get("ROLE") == "admin"
    return bool(schema.COMMANDS[name].two_admins) or role_admin


def _check_config(payload: Mapping[str, str]) -> None:
    if not payload:
        raise Malformed("no configuration")
    config_check.check(payload)


def _check_trust(server: Context, payload: Mapping[str, str]) -> None:
    """Only a release key lets another key into role release."""
    if payload["ROLE"] != "release":
        return
    text = signing.trust_text("release", payload["KEY"])
    for public in public_keys("RELEASE_PUBLIC_KEYS", server.settings.release_public_keys):
        try:
            signing.verify_text(server.crypto, public, text, payload.get(RELEASE_SIGNATURE, ""))
        except KsError:
            continue
        return
    raise ApiError("SIG_INVALID", "a key for role release needs a signature of a release key")


def _is_time(text: str) -> bool:
    try:
        timetext.parse_ms(text)
    except Malformed:
        return False
    return True


def _is_public_key(text: str) -> bool:
    try:
        signing.decode_public_key(text)
    except KsError:
        return False
    return True


_CHECKS: Final[dict[str, Callable[[str], bool]]] = {
    "FORCE": lambda text: text in ("true", "false"),
    "KEY": _is_public_key,
    "LEVEL": lambda text: text in LEVELS,
    "ROLE": lambda text: text in ROLES,
    "SINCE": _is_time,
}
