"""Ports in memory and a small server of the protocol's words, for the core's own tests."""

import hashlib

from ks_agent import lines, schema, signing, timetext
from ks_agent.agent import Agent
from ks_agent.effects import Response
from ks_agent.ports import Ports
from ks_agent.store import Store

NOW_MS = 1795000000000
BUILD_MS = NOW_MS - 400 * 86400000
D1 = "dev-1"
SHOWN_KEPT = 20
SERVER_SEED = b"S" * 32
RELEASE_SEED = b"R" * 32
ADMIN_SEEDS = (b"A" * 32, b"B" * 32)


class QuickCrypto:
    """Signatures that are hashes, so that thousands are made in a moment: the logic around them is
    under test here, the real ones are elsewhere. Anybody could forge these.
    """

    def public_key(self, seed):
        return self._hash(b"public", (seed,))

    def sign(self, seed, pieces):
        return self._signature(self.public_key(seed), pieces)

    def verify(self, public, pieces, signature):
        return signature == self._signature(public, pieces)

    def sha256(self):
        return hashlib.sha256()

    def _signature(self, public, pieces):
        return self._hash(b"1" + public, pieces) + self._hash(b"2" + public, pieces)

    def _hash(self, context, pieces):
        digest = hashlib.sha256(context)
        for piece in pieces:
            digest.update(piece)
        return digest.digest()


CRYPTO = QuickCrypto()


class Clock:
    build_ms = BUILD_MS

    def __init__(self):
        self.ticks = 0

    def ticks_ms(self):
        return self.ticks


class Rng:
    """Not random at all: a counter, hashed."""

    def __init__(self, seed=b"rng"):
        self._seed = seed
        self._count = 0

    def random_bytes(self, count):
        out = b""
        while len(out) < count:
            self._count += 1
            digest = CRYPTO.sha256()
            digest.update(self._seed + str(self._count).encode())
            out += digest.digest()
        return out[:count]


class File:
    def __init__(self, fs, path, data, writing):
        self._fs = fs
        self._path = path
        self._data = data
        self._writing = writing
        self._position = 0

    def read(self, count=-1):
        end = len(self._data) if count < 0 else self._position + count
        piece = bytes(self._data[self._position : end])
        self._position += len(piece)
        return piece

    def readline(self):
        end = self._data.find(b"\n", self._position) + 1
        return self.read(end - self._position if end else -1)

    def write(self, data):
        self._data.extend(data)

    def save(self):
        if self._writing:
            self._fs.files[self._path] = bytes(self._data)

    def close(self):
        self.save()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class PowerCut(Exception):
    pass


class Fs:
    """Files in a dict. `operations_left` counts changes down to a power cut."""

    def __init__(self):
        self.files = {}
        self.folders = {""}
        self.operations_left = -1

    def _change(self):
        if self.operations_left == 0:
            raise PowerCut()
        self.operations_left -= 1

    def open(self, path, mode):
        if mode == "rb":
            if path not in self.files:
                raise OSError(2)
            return File(self, path, self.files[path], False)
        self._change()
        self.files[path] = b""
        return File(self, path, bytearray(), True)

    def sync(self, file):
        file.save()

    def rename(self, before, after):
        self._change()
        self.files[after] = self.files.pop(before)

    def remove(self, path):
        if path not in self.files:
            raise OSError(2)
        self._change()
        del self.files[path]

    def rmdir(self, path):
        self._change()
        self.folders.discard(path)

    def mkdir(self, path):
        self._change()
        self.folders.add(path)

    def is_dir(self, path):
        return path in self.folders

    def stat(self, path):
        if path not in self.files:
            raise OSError(2)
        return len(self.files[path])

    def listdir(self, path):
        if path not in self.folders:
            raise OSError(2)
        prefix = path + "/"
        names = set()
        for name in list(self.files) + list(self.folders):
            if name.startswith(prefix):
                names.add(name[len(prefix) :].split("/")[0])
        return sorted(names)


class Vault:
    def __init__(self, fs):
        self._fs = fs
        self.values = {}

    def get(self, name):
        return self.values.get(name)

    def set(self, name, value):
        self._fs._change()
        self.values[name] = bytes(value)

    def erase(self, name):
        if name in self.values:
            self._fs._change()
            del self.values[name]


class Partition:
    running = "a"


class Board:
    def __init__(self):
        self.shown = []
        self.counts = {}

    def temperature_c(self):
        return "41.5"

    def memory_used_bytes(self):
        return 81920

    def unload(self, names):
        pass

    def show(self, event, detail):
        self.counts[event] = self.counts.get(event, 0) + 1
        self.shown = self.shown[-SHOWN_KEPT:] + [(event, detail)]

    def events(self):
        return [event for event, _ in self.shown]


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
            return {"S1": "ok", "RTO": "60", "PENDING_CMDS": pending, "FW_AVAILABLE": "false"}
        if op == "commands" and self.commands:
            return {"CMD": self.commands}
        if op == "command-ack":
            done = request["CMD1"]
            self.commands = [row for row in self.commands if row["CMD1"] != done]
        return {"S1": "ok"}

    def _serve_file(self, fetch):
        data = self.content[fetch.url]
        ranges = dict(fetch.headers).get("Range")
        if ranges is not None:
            first, last = ranges[len("bytes=") :].split("-")
            data = data[int(first) : int(last) + 1]
        if fetch.kind == "download":
            for start in range(0, len(data), 500):
                fetch.sink(memoryview(data)[start : start + 500])
            return Response(200 if ranges is None else 206, {}, b"")
        return Response(206, {}, data)

    def acknowledged(self):
        found = {}
        for request in self.requests:
            if request["OP"] == "command-ack":
                found[request["CMD1"]] = request["ACK1"] + " " + request.get("ACK2", "")
        return found

    def command(self, name, number=1, payload="", days=7, admins=None, **fields):
        """A queued command; `admins` are the seeds that sign it."""
        row = {"CMD1": "%s-%d" % (signing.command_prefix(CRYPTO, D1), number), "CMD2": name}
        row["TS"] = timetext.format_ms(self.now_ms())
        row["CMD5"] = timetext.format_ms(self.now_ms() + days * 86400000)
        if payload:
            row["CMD3"] = payload
        row.update(fields)
        signing.sign_command(CRYPTO, self.seed, row)
        for field, seed in zip(("SIG_ADMIN_A", "SIG_ADMIN_B"), admins or ()):
            row[field] = signing.sign_text(CRYPTO, seed, signing.admin_text(row, D1))
        self.commands.append(row)
        return row


class Terminal:
    """A terminal on a desk: `boot` gives it power, `run` lets it live until a condition holds."""

    def __init__(self, trust=None, factory=None):
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
        ports = Ports(self.clock, self.rng, self.fs, self.vault, partition, CRYPTO, self.board)
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


def acknowledgement(terminal, row):
    """Live until a command is acknowledged; the acknowledgement's status and text."""
    terminal.run(lambda: row["CMD1"] in terminal.server.acknowledged())
    return terminal.server.acknowledged()[row["CMD1"]]


def trust_rows():
    rows = [{"ROLE": "server", "SEQ": "1", "KEY": public_text(SERVER_SEED)}]
    rows.append({"ROLE": "release", "KEY": public_text(RELEASE_SEED)})
    for seed in ADMIN_SEEDS:
        rows.append({"ROLE": "admin", "KEY": public_text(seed)})
    return rows


def public_text(seed):
    return signing.b64(CRYPTO.public_key(seed))


def unquote(text):
    parts = text.split("%")
    out = parts[0].encode()
    for part in parts[1:]:
        out += bytes([int(part[:2], 16)]) + part[2:].encode()
    return out
