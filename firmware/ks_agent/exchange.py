"""One signed exchange with the server: ask, verify the answer, and only then believe it.

An answer counts if its signature verifies under the server key that the terminal trusts (after
following the links it brings) and its D1, NONCE, OP and RQ are those of the request (PROTOCOL
section 2). Everything else is only a reason to back off.
"""

import binascii

from . import envelope, timetext, tokens
from .effects import CERTIFICATE_DATE, Fetch
from .errors import Malformed, Refused, Unbound
from .trust import SERVER

TIMEOUT_MS = 15000
UNSIGNED_WAIT_MAX_S = 300
SHORTAGES_BORNE = 3
RTO_MIN_S = 10
RTO_MAX_S = 3600
_PLAIN = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-"


class Exchange:
    def __init__(self, ports, identity, trust, config, clock, link, log):
        self._ports = ports
        self.identity = identity
        self._trust = trust
        self.config = config
        self._clock = clock
        self._link = link
        self._log = log
        self.heard = 0
        self._shortages = 0
        # HTTP's, of the last answer; 0 when none came.
        self.status = 0

    def call(self, op, fields, seed=None, seal=None):
        """The verified answer. Raises Refused for a signed no, PeerError for an answer that is
        none, OSError when the link fails. `seal(request)` may add to the request before SIG1.
        """
        for last_try in (False, True):
            try:
                answer = yield from self.once(op, fields, seed, seal)
                tokens.check_answer(op, answer)
                return answer
            except WrongTime as wrong:
                if last_try or not wrong.stepped:
                    raise Refused("TIMESTAMP_INVALID", wrong.answer)
            except OSError as error:
                if last_try or error.args[:1] != (CERTIFICATE_DATE,) or self._clock.synced:
                    raise
                from .plain_time import ask

                yield from ask(self)

    def once(self, op, fields, seed=None, seal=None, base=None):
        """As `call`, without another try; WrongTime where the terminal's clock is refused."""
        request = self.sign(op, fields, seed, seal)
        fetch = self._fetch(op, request, base or self.config.get("SERVER"))
        sent_ticks_ms = self._clock.ticks_ms()
        self.status = 0
        try:
            response = yield fetch
        except OSError:
            self._link.lost()
            raise
        except MemoryError:
            self._bear_shortage()
            raise OSError("no memory for the answer")
        came_ticks_ms = self._clock.ticks_ms()
        self._link.worked()
        self.status = response.status
        try:
            answer = self._believe(op, request, response)
        except MemoryError:
            self._bear_shortage()
            raise Malformed("no memory for the answer")
        self._shortages = 0
        server_ms = timetext.parse_ms(answer["TS"])
        stepped = self._clock.offer(server_ms, sent_ticks_ms, came_ticks_ms)
        self.heard += 1
        code = answer.get("ERR1")
        if code == "TIMESTAMP_INVALID":
            raise WrongTime(answer, stepped)
        if code is not None:
            raise Refused(code, answer)
        return answer

    def _bear_shortage(self):
        """Whoever sent the answer may have made it too large; a heap in pieces needs a restart."""
        self._shortages += 1
        if self._shortages > SHORTAGES_BORNE:
            raise MemoryError()

    def sign(self, op, fields, seed=None, seal=None):
        """A fresh request: its nonce is used once, its time is now."""
        request = dict(fields)
        request["OP"] = op
        request["D1"] = self.identity.d1
        request["TS"] = self._clock.text()
        request["KID"] = self._trust.server_key_id()
        request["NONCE"] = make_nonce(self._ports.rng)
        if seal is not None:
            seal(request)
        envelope.sign_message(self._ports.crypto, seed or self.identity.seed, request)
        return request

    def _fetch(self, op, request, base):
        headers = [("Accept", envelope.TOON)]
        path = base + tokens.BASE_PATH + op
        if op in tokens.GET:
            method = "GET"
            from . import lines

            url = path + "?toon=" + quote(lines.encode(request))
            body = None
        else:
            method = "POST"
            url = path
            body = envelope.compose(request, envelope.TOON)
            headers.append(("Content-Type", envelope.TOON))
        limit = tokens.ANSWER_MAX_BYTES
        return Fetch(method, url, headers, body, limit, TIMEOUT_MS)

    def _believe(self, op, request, response):
        content_type = response.headers.get("content-type", "").partition(";")[0].strip()
        limit = tokens.ANSWER_MAX_BYTES
        answer = envelope.parse(response.body, content_type, limit, max_tokens=256)
        if "SIG_SERV" not in answer:
            raise _unsigned(answer, response)
        links = answer.get("LINK", [])
        if isinstance(links, str):
            raise Malformed("LINK is a list")
        if links:
            from . import trust_changes

            newest = trust_changes.follow(self._trust, self._ports.crypto, links)
            public = envelope.unb64(newest["KEY"], 32)
            envelope.verify_message(self._ports.crypto, public, answer, "SIG_SERV")
        else:
            self._verify_by_any(answer)
        self._check_binding(op, request, answer)
        if links:
            trust_changes.store_server(self._trust, newest)
        return answer

    def _verify_by_any(self, answer):
        def verify(public):
            envelope.verify_message(self._ports.crypto, public, answer, "SIG_SERV")

        self._trust.verify_any(SERVER, verify)

    def _check_binding(self, op, request, answer):
        expected = {
            "D1": request["D1"],
            "NONCE": request["NONCE"],
            "OP": op,
            "RQ": envelope.request_digest(self._ports.crypto, request),
        }
        for key, text in expected.items():
            if answer.get(key) != text:
                raise Unbound("an answer with another " + key)
        for key in ("TS", "ERR1", "RTO", "RTY"):
            value = answer.get(key, "")
            if not isinstance(value, str):
                raise Malformed(key + " is a list")
            if value or key == "TS":
                tokens.check_value(key, value)


class WrongTime(Exception):
    def __init__(self, answer, stepped):
        super().__init__("TIMESTAMP_INVALID")
        self.answer = answer
        self.stepped = stepped


def _unsigned(answer, response):
    """What nobody signed is a hint at best: how long to wait, within bounds."""
    claim = answer.get("ERR1", "")
    error = Unbound("unsigned answer, status %d %s" % (response.status, claim))
    error.claim = claim
    error.wait_s = wait_s(answer, "RTY", 1, UNSIGNED_WAIT_MAX_S)
    return error


def wait_s(answer, key, shortest, longest):
    """A waiting time that the server named, in s within bounds; None when it named none."""
    text = answer.get(key)
    if not isinstance(text, str) or not tokens.is_integer(text):
        return None
    return min(max(int(text), shortest), longest)


def make_nonce(rng):
    """128 random bits in the nonce's alphabet: 22 characters."""
    text = binascii.b2a_base64(rng.random_bytes(16)).decode().strip()
    return text.rstrip("=").replace("+", "-").replace("/", "_")


def quote(data):
    """Percent-encoding for a URL query (RFC 3986 section 2.1)."""
    out = bytearray()
    for byte in data:
        out.extend(bytes((byte,)) if byte in _PLAIN else b"%%%02X" % byte)
    return out.decode()
