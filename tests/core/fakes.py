"""A small server of the protocol's words and a terminal on a desk, for the core's own tests."""

from fake_ports import CRYPTO, NOW_MS, Board, Clock, Fs, Partition, PowerCut, Rng, Vault

from ks_agent import lines, schema, signing, timetext
from ks_agent.agent import Agent
from ks_agent.effects import Response
from ks_agent.ports import Ports
from ks_agent.store import Store

D1 = "dev-1"
SERVER_SEED = b"S" * 32
RELEASE_SEED = b"R" * 32
ADMIN_SEEDS = (b"A" * 32, b"B" * 32)


class Server:
    """Answers as PROTOCOL says, for one device; a test may bend each answer before it is signed."""

    def __init__(self, clock, seed=SERVER_SEED):
        self._clock = clock
        self.seed = seed
        self.offset_ms = NOW_MS
        self.requests = []
        self.answers = {}
        self.commands = []
        self.bend = None
        self.bend_signed = None
        self.content = {}
        self.etag = None
        self.serving = None
        self.served = []
        self.journals = {}

    def now_ms(self):
        return self.offset_ms + self._clock.ticks

    def ops(self):
        return [request["OP"] for request in self.requests]

    def handle(self, fetch):
        if fetch.url in self.content:
            return self._serve_file(fetch)
        if fetch.body is not None:
            request = signing.parse(fetch.body, signing.TOON, 65536, 4096)
        else:
            query = fetch.url.partition("?toon=")[2]
            request = lines.decode(unquote(query), 16384)
        self.requests.append(request)
        schema.check_request(request["OP"], request)
        answer = self._answer(request)
        answer["TS"] = timetext.format_ms(self.now_ms())
        for key in ("D1", "NONCE", "OP"):
            answer[key] = request[key]
        answer["RQ"] = signing.request_digest(CRYPTO, request)
        if self.bend is not None:
            self.bend(answer)
        signing.sign_message(CRYPTO, self.seed, answer, "SIG_SERV")
        if self.bend_signed is not None:
            self.bend_signed(answer)
        status = schema.STATUS.get(answer.get("ERR1"), 200)
        body = signing.compose(answer, signing.TOON)
        return Response(status, {"content-type": signing.TOON}, body)

    def _answer(self, request):
        op = request["OP"]
        if abs(timetext.parse_ms(request["TS"]) - self.now_ms()) > 300000:
            return {"ERR1": "TIMESTAMP_INVALID"}
        if op in self.answers:
            answer = self.answers[op]
            if isinstance(answer, Exception):
                raise answer
            return dict(answer)
        if op == "register":
            return {"S1": "registered", "RTO": "60"}
        if op == "heartbeat":
            pending = str(len(self.commands))
            answer = {"S1": "ok", "RTO": "60", "PENDING_CMDS": pending, "FW_AVAILABLE": "false"}
            if "JID" in request:
                answer["ACK_SEQ"] = str(self.ack_seq(request["JID"]))
            return answer
        if op == "events":
            return self._store_punches(request)
        if op == "commands" and self.commands:
            return {"CMD": self.commands}
        if op == "command-ack":
            done = request["CMD1"]
            self.commands = [row for row in self.commands if row["CMD1"] != done]
        return {"S1": "ok"}

    def _store_punches(self, request):
        """Once each, as they are; ACK_SEQ skips what is below SEQ_MIN."""
        jid = request["JID"]
        stored = self.journals.setdefault(jid, {})
        results = store_punches(stored, request)
        for seq in range(1, int(request["SEQ_MIN"])):
            stored.setdefault(seq, None)
        return {"S1": "ok", "ACK_SEQ": str(self.ack_seq(jid)), "RESULT": results}

    def ack_seq(self, jid):
        return last_without_a_gap(self.journals.get(jid, {}))

    def _serve_file(self, fetch):
        """A bundle or a range of it; `self.serving` may bend status, headers, and body."""
        data = self.content[fetch.url]
        asked = dict(fetch.headers)
        ranges = asked.get("Range")
        status, headers, body = 200, {}, data
        if self.etag is not None:
            headers["etag"] = self.etag
        if ranges is not None and asked.get("If-Range", self.etag) == self.etag:
            first, last = ranges[len("bytes=") :].split("-")
            status, body = 206, data[int(first) : int(last) + 1]
            last = int(first) + len(body) - 1
            headers["content-range"] = "bytes %s-%d/%d" % (first, last, len(data))
            if not body:
                status, headers = 416, {"content-range": "bytes */%d" % len(data)}
        headers["content-length"] = str(len(body))
        if self.serving is not None:
            status, headers, body = self.serving(fetch, status, headers, body)
        self.served.append((ranges, status))
        return pour(fetch, status, headers, body)

    def acknowledged(self):
        found = {}
        for request in self.requests:
            if request["OP"] == "command-ack":
                found[request["CMD1"]] = request["ACK1"] + " " + request.get("ACK2", "")
        return found

    def command(self, name, number=1, payload="", days=7, admins=None, **fields):
        """A queued command; `admins` are the seeds that sign it."""
        signers = (CRYPTO, self.seed, admins or ())
        row = new_command(signers, name, number, self.now_ms(), payload, days, fields)
        self.commands.append(row)
        return row


def store_punches(stored, request):
    """Each by its SEQ, as it came first; RESULT, which is of those that came differently."""
    results = []
    for row in request["EVENT"]:
        if stored.setdefault(int(row["SEQ"]), row) != row:
            results.append({"A1": row["A1"], "S1": "rejected", "ERR1": "CONFLICT"})
    return results


def last_without_a_gap(stored):
    """The ACK_SEQ of punches by their SEQ."""
    seq = 0
    while seq + 1 in stored:
        seq += 1
    return seq


def new_command(signers, name, number, now_ms, payload="", days=7, fields={}):  # noqa: B006
    """A row of CMD; `signers`: the crypto port, the server's seed, the seeds of administrators."""
    crypto, server_seed, admin_seeds = signers
    row = {"CMD1": "%s-%d" % (signing.command_prefix(crypto, D1), number), "CMD2": name}
    row["TS"] = timetext.format_ms(now_ms)
    row["CMD5"] = timetext.format_ms(now_ms + days * 86400000)
    if payload:
        row["CMD3"] = payload
    row.update(fields)
    signing.sign_command(crypto, server_seed, row)
    for field, seed in zip(("SIG_ADMIN_A", "SIG_ADMIN_B"), admin_seeds):
        row[field] = signing.sign_text(crypto, seed, signing.admin_text(row, D1))
    return row


def pour(fetch, status, headers, body, piece_bytes=500):
    """What the driver does with an answer to a download."""
    if status in (200, 206):
        if len(body) > fetch.max_bytes:
            raise OSError("the answer is too long")
        fetch.begin(status, headers)
        for start in range(0, len(body), piece_bytes):
            fetch.sink(memoryview(body)[start : start + piece_bytes])
    return Response(status, headers, b"")


class Terminal:
    """A terminal on a desk: `boot` gives it power, `run` lets it live until a condition holds."""

    def __init__(self, trust=None, factory=None, crypto=CRYPTO):
        self.crypto = crypto
        self.clock = Clock()
        self.fs = Fs()
        self.vault = Vault(self.fs)
        self.rng = Rng()
        self.server = Server(self.clock)
        self.link_down = False
        store = Store(self.fs)
        store.write("trust.toon", {"TRUST": trust or trust_rows()})
        store.write("factory.toon", factory or {"D1": D1, "SERVER": "http://server"})
        self.slot = "a"
        self.restarts = []
        self.boot()

    def boot(self):
        self.clock.ticks = 0
        self.board = Board()
        partition = Partition()
        partition.running = self.slot
        ports = Ports(self.clock, self.rng, self.fs, self.vault, partition, self.crypto, self.board)
        self.agent = Agent(ports)
        self.life = self.agent.run()
        self._result = None
        self._failure = None

    def step(self):
        """One effect: its kind, or None at the end of the life."""
        try:
            if self._failure is not None:
                effect = self.life.throw(self._failure)
            else:
                effect = self.life.send(self._result)
        except StopIteration:
            return None
        self._result = None
        self._failure = None
        if effect.kind == "sleep":
            self.clock.ticks += effect.ms
            self.slept_ms = effect.ms
        elif effect.kind == "restart":
            self.restarts.append(effect.reason)
            self.life.close()
            self.boot()
        else:
            self.clock.ticks += 40
            try:
                if self.link_down:
                    raise OSError("no link")
                self._result = self.server.handle(effect)
            except Exception as error:
                self._failure = error
        return effect.kind

    def run(self, until, limit=400):
        """Live until the condition holds; an AssertionError when it does not come to that."""
        for _ in range(limit):
            if until():
                return
            if self.step() is None:
                assert until(), "dormant"
                return
        raise AssertionError("it never happened: " + str(self.board.shown[-12:]))

    def run_cycle(self):
        """Until the terminal goes to sleep."""
        while self.step() not in ("sleep", None):
            pass

    def beats(self):
        """Heartbeats of this boot that were answered, and believed."""
        return self.board.counts.get("heartbeat", 0)

    def heartbeats(self):
        return self.server.ops().count("heartbeat")


def ready():
    """A registered terminal after its first heartbeat."""
    terminal = Terminal()
    terminal.run(lambda: terminal.beats() == 1)
    return terminal


def is_cut_after(operations, terminal, live, *arguments):
    """Whether the power went at that operation of flash or vault, before `live(*arguments)` and the
    conversation were over. From then on there is power again; the next boot is the test's.
    """
    terminal.fs.operations_left = operations
    try:
        live(*arguments)
        terminal.run_cycle()
        return False
    except PowerCut:
        return True
    finally:
        terminal.fs.operations_left = -1


def acknowledgement(terminal, row):
    """Live until a command is acknowledged; the acknowledgement's status and text."""
    terminal.run(lambda: row["CMD1"] in terminal.server.acknowledged())
    return terminal.server.acknowledged()[row["CMD1"]]


def trust_rows(crypto=CRYPTO):
    rows = [{"ROLE": "server", "SEQ": "1", "KEY": public_text(SERVER_SEED, crypto)}]
    rows.append({"ROLE": "release", "KEY": public_text(RELEASE_SEED, crypto)})
    for seed in ADMIN_SEEDS:
        rows.append({"ROLE": "admin", "KEY": public_text(seed, crypto)})
    return rows


def public_text(seed, crypto=CRYPTO):
    return signing.b64(crypto.public_key(seed))


def unquote(text):
    parts = text.split("%")
    out = parts[0].encode()
    for part in parts[1:]:
        out += bytes([int(part[:2], 16)]) + part[2:].encode()
    return out
