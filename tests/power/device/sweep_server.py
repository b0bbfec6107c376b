"""A server of the protocol's words for one device, whose state can be copied at any moment.

Runs on CPython and MicroPython. Between two copies nothing is shared that ever changes: rows and
releases are replaced, never altered.
"""

from fake_ports import CRYPTO
from fakes import (
    ADMIN_SEEDS,
    SERVER_SEED,
    last_without_a_gap,
    new_command,
    store_punches,
    unquote,
)

from ks_agent import bundle, lines, schema, signing, timetext
from ks_agent.effects import Response

HOST = "http://server"
OTHER_HOST = "http://other"
SEEDS = (SERVER_SEED, b"T" * 32, b"U" * 32, b"V" * 32)
PIECE_BYTES = 500
WINDOW_MS = 300000
# What a server is, but for the three dicts of it.
PLAIN = ("hosts", "seeds", "known", "revoked", "rto", "commands", "release", "firmware_acks")
PLAIN += ("allow", "uploads", "conflicts", "heartbeats", "loses", "version", "breaks_off")


class Release:
    """What a server knows of a release, and the bytes of its bundle; `image`: the version of the
    full image that it is, None for an application.
    """

    def __init__(self, tokens, content, image=None):
        self.tokens = tokens
        self.content = content
        self.image = image


class Server:
    def __init__(self, crypto=CRYPTO):
        self.crypto = crypto
        self.hosts = (HOST,)
        self.seeds = SEEDS[:1]
        self.known = None
        self.revoked = False
        self.rto = "60"
        self.nonces = {}
        self.commands = ()
        self.acks = {}
        self.release = None
        self.firmware_acks = ()
        self.journals = {}
        self.allow = None
        self.uploads = ()
        self.conflicts = 0
        self.heartbeats = 0
        self.loses = ()
        self.version = None
        # A download's link breaks off after so many bytes, each time.
        self.breaks_off = 1 << 30

    def copy(self):
        other = Server(self.crypto)
        for name in PLAIN:
            setattr(other, name, getattr(self, name))
        other.nonces = dict(self.nonces)
        other.acks = dict(self.acks)
        other.journals = {jid: dict(rows) for jid, rows in self.journals.items()}
        return other

    def handle(self, fetch, now_ms):
        """The Response. OSError where a host is down, or an answer gets lost on its way."""
        host = "/".join(fetch.url.split("/")[:3])
        if host not in self.hosts:
            raise OSError("no such host")
        if "/download/" in fetch.url:
            return self._download(fetch)
        if fetch.body is not None:
            request = signing.parse(fetch.body, signing.TOON, 65536, 4096)
        else:
            request = lines.decode(unquote(fetch.url.partition("?toon=")[2]), 16384)
        schema.check_request(request["OP"], request)
        answer, status = self._signed(request, now_ms)
        if request["OP"] in self.loses:
            # Once: what happened has happened, but nobody is told.
            self.loses = tuple([op for op in self.loses if op != request["OP"]])
            raise OSError("the answer is lost")
        return Response(status, {"content-type": signing.TOON}, answer)

    def _signed(self, request, now_ms):
        op = request["OP"]
        public = self.known
        if op == "register" and public is None:
            public = signing.unb64(request["D3"], 32)
        try:
            if public is None:
                raise signing.BadSignature("no such device")
            signing.verify_message(self.crypto, public, request, "SIG1")
        except signing.BadSignature:
            return b"ERR1: SIG_INVALID\n", 403
        answer = self._judge(request, now_ms)
        answer["TS"] = timetext.format_ms(now_ms)
        for key in ("D1", "NONCE", "OP"):
            answer[key] = request[key]
        answer["RQ"] = signing.request_digest(self.crypto, request)
        links = self._links(request["KID"])
        if links:
            answer["LINK"] = links
        signing.sign_message(self.crypto, self.seeds[-1], answer, "SIG_SERV")
        return signing.compose(answer, signing.TOON), schema.STATUS.get(answer.get("ERR1"), 200)

    def _judge(self, request, now_ms):
        op = request["OP"]
        if self.revoked and op not in ("commands", "command-ack"):
            return {"ERR1": "REVOKED"}
        if abs(timetext.parse_ms(request["TS"]) - now_ms) > WINDOW_MS:
            return {"ERR1": "TIMESTAMP_INVALID"}
        if request["NONCE"] in self.nonces:
            return {"ERR1": "NONCE_REUSE"}
        self.nonces[request["NONCE"]] = op
        return getattr(self, "_" + op.replace("-", "_").replace("/", "_"))(request)

    def _links(self, kid):
        """From the key that the terminal names to the current one."""
        links = []
        found = False
        for index, seed in enumerate(self.seeds):
            public = self.crypto.public_key(seed)
            if found:
                key = signing.b64(public)
                text = signing.link_text(index + 1, key)
                signature = signing.sign_text(self.crypto, self.seeds[index - 1], text)
                links.append({"SEQ": str(index + 1), "KEY": key, "SIG": signature})
            found = found or signing.key_id(self.crypto, public) == kid
        return links

    def _register(self, request):
        public = signing.unb64(request["D3"], 32)
        if self.known is not None and self.known != public:
            return {"ERR1": "DEVICE_ALREADY_REGISTERED"}
        self.known = public
        return {"S1": "registered", "RTO": self.rto}

    def _heartbeat(self, request):
        self.heartbeats += 1
        self.version = request["FW2"]
        answer = {"S1": "ok", "RTO": self.rto, "PENDING_CMDS": str(len(self.commands))}
        answer["FW_AVAILABLE"] = "false"
        if self._offers(request):
            answer["FW_AVAILABLE"] = "true"
            answer["FW2"] = self.release.tokens["FW2"]
        if "JID" in request:
            answer["ACK_SEQ"] = str(self.ack_seq(request["JID"]))
        if self.allow is not None:
            answer["AL1"] = self.allow[0]
        return answer

    def _offers(self, request):
        if self.release is None:
            return False
        if self.release.image is not None:
            return bundle.version(self.release.image) > bundle.version(request["IMG1"])
        return bundle.version(self.release.tokens["FW2"]) > bundle.version(request["FW2"])

    def _commands(self, request):
        return {"CMD": list(self.commands[:8])} if self.commands else {"S1": "no_commands"}

    def _command_ack(self, request):
        cmd1 = request["CMD1"]
        said = (request["ACK1"], request.get("ACK2", ""))
        self.acks[cmd1] = self.acks.get(cmd1, ()) + (said,)
        self.commands = tuple([row for row in self.commands if row["CMD1"] != cmd1])
        return {"S1": "ok"}

    def _firmware_check(self, request):
        if self._offers(request):
            return dict(self.release.tokens, S1="update_available")
        return {"S1": "no_update"}

    def _firmware_ack(self, request):
        said = (request["FW1"], request["ACK1"], request.get("ACK2", ""))
        self.firmware_acks = self.firmware_acks + (said,)
        return {"S1": "ok"}

    def _logs(self, request):
        self.uploads = self.uploads + ((request.get("CMD1", ""), request["LOG1"]),)
        return {"S1": "ok", "LOG1": request["LOG1"]}

    def _events(self, request):
        jid = request["JID"]
        stored = self.journals.setdefault(jid, {})
        results = store_punches(stored, request)
        self.conflicts += len(results)
        for seq in range(1, int(request["SEQ_MIN"])):
            if seq not in stored:
                self.conflicts += 1
        return {"S1": "ok", "ACK_SEQ": str(self.ack_seq(jid)), "RESULT": results}

    def ack_seq(self, jid):
        return last_without_a_gap(self.journals.get(jid, {}))

    def _rotate_key(self, request):
        public = signing.unb64(request["D3"], 32)
        signing.verify_message(self.crypto, public, request, "SIG_NEW")
        self.known = public
        return {"S1": "ok"}

    def _allow_list(self, request):
        version, pages, digests = self.allow
        if request["AL1"] != version:
            return {"ERR1": "NOT_FOUND"}
        answer = {"S1": "ok", "AL1": version}
        if "AL2" in request:
            answer["AL2"] = request["AL2"]
            answer["AL5"] = pages[int(request["AL2"])]
        else:
            answer["AL3"] = str(len(pages))
            answer["AL4"] = digests
        return answer

    def _download(self, fetch):
        data = self.release.content
        headers = dict(fetch.headers)
        etag = '"' + self.release.tokens["FW4"][:16] + '"'
        told = {"etag": etag}
        status = 200
        ranges = headers.get("Range")
        if headers.get("If-Range", etag) != etag:
            ranges = None
        if ranges is not None:
            first, last = ranges[len("bytes=") :].split("-")
            first = int(first)
            last = min(int(last) if last else len(data) - 1, len(data) - 1)
            status = 206
            told["content-range"] = "bytes %d-%d/%d" % (first, last, len(data))
            data = data[first : last + 1]
        told["content-length"] = str(len(data))
        if fetch.kind != "download":
            return Response(status, told, data)
        fetch.begin(status, told)
        for start in range(0, len(data), PIECE_BYTES):
            if start and start % self.breaks_off == 0:
                raise OSError("the link dropped")
            fetch.sink(memoryview(data)[start : start + PIECE_BYTES])
        return Response(status, told, b"")

    def command(self, name, number, now_ms, payload="", admins=False, days=7):
        """A queued command's id."""
        signers = (self.crypto, self.seeds[-1], ADMIN_SEEDS if admins else ())
        row = new_command(signers, name, number, now_ms, payload, days)
        self.commands = self.commands + (row,)
        return row["CMD1"]
