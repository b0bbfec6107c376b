"""factory.toon over the serial line: staged beside its name until the terminal is sealed."""

from ks_agent import envelope, factory, tokens, toon
from ks_agent.errors import KsError, Malformed
from ks_agent.store import as_text, check_form

from .console_refusal import NOT_ALLOWED, Refusal
from .console_text import text_of

STAGED = factory.PATH + ".staged"
# CA may be a text or, since a line is short, rows of PART.
FIELDS = factory.KEPT + factory.CONFIGURED
REQUIRED = ("D1", "SERVER")


def write_words(store, identity, request):
    """Raises Malformed for words that the agent could not use, Refusal for another's."""
    words = {key: request[key] for key in FIELDS if key in request}
    if isinstance(words.get("CA"), list):
        words["CA"] = "".join([text_of(row, "PART") for row in words["CA"]])
    check_form(words, REQUIRED)
    if "CA" in words:
        envelope.unb64(words["CA"])
    for key in ("SERVER", "TIME_SERVER"):
        if key in words:
            check_server(key, words[key])
    check_same(identity, words["D1"])
    data = toon.encode(words, as_text) + b"\n"
    if len(data) > factory.MAX_BYTES:
        raise Malformed("more than %d bytes" % factory.MAX_BYTES)
    store.write_bytes(STAGED, data)


def check_server(key, text):
    """As ks_agent.config_check does, which takes more room than there is. Raises Malformed."""
    scheme, found, host = text.partition("://")
    bad = [code for code in text.encode() if code <= 32 or code > 126]
    if not found or scheme not in ("http", "https") or not host or bad or host[-1:] == "/":
        raise Malformed(key + " is not http://host[:port] or https://host[:port]")


def check_complete(fs, identity):
    """D1, when nothing is missing that the agent needs. Raises Refusal."""
    from .console_trust import check_written

    try:
        check_written(fs)
    except (OSError, KsError):
        raise Refusal(NOT_ALLOWED, "write trust comes first")
    try:
        with fs.open(STAGED, "rb") as file:
            words = toon.decode(file.read(factory.MAX_BYTES + 1), factory.MAX_BYTES)
        check_form(words, REQUIRED)
    except (OSError, KsError):
        raise Refusal(NOT_ALLOWED, "write factory comes first")
    check_same(identity, words["D1"])
    return words["D1"]


def check_same(identity, d1):
    tokens.check_value("D1", d1)
    if identity.adopted and identity.d1 != d1:
        raise Refusal(NOT_ALLOWED, "its data are another terminal's: erase the whole flash")
