"""The device's own key is changed, and any one message of it gets lost, on its way or back."""

# heap: 384k because the agent, compiled here, shares it with the test's server and flash

from fake_ports import CRYPTO
from fakes import Terminal, acknowledgement, is_cut_after, ready

from ks_agent import signing


class OneKey:
    """The server's part that matters here: one key of the device, changed while a command is open.

    The answer to a signature by another key is unsigned. `lost` numbers the exchange of which the
    request, or with `late` only the answer, gets lost.
    """

    def __init__(self, terminal, lost=-1, late=False):
        self._server = terminal.server
        self._handle = terminal.server.handle
        self.known = CRYPTO.public_key(terminal.vault.get("key"))
        self._lost = lost
        self._late = late
        self.exchanges = 0
        terminal.server.handle = self.handle

    def handle(self, fetch):
        self.exchanges += 1
        lost = self.exchanges - 1 == self._lost
        if lost and not self._late:
            raise OSError("the request is lost")
        before = list(self._server.commands)
        answer = self._handle(fetch)
        request = self._server.requests[-1]
        try:
            signing.verify_message(CRYPTO, self.known, request, "SIG1")
        except signing.BadSignature:
            self._server.requests.pop()
            self._server.commands = before
            answer.body = b"ERR1:SIG_INVALID"
            answer.headers = {}
        else:
            if request["OP"] == "rotate-key":
                assert before, "no command is open"
                self.known = signing.unb64(request["D3"])
        if lost:
            raise OSError("the answer is lost")
        return answer


def settled(terminal, keys, row):
    terminal.run(lambda: row["CMD1"] in terminal.server.acknowledged())
    terminal.run(lambda: terminal.vault.get("key_next") is None)
    assert CRYPTO.public_key(terminal.vault.get("key")) == keys.known
    terminal.run_cycle()
    beats = terminal.beats()
    terminal.run(lambda: terminal.beats() > beats)


def test_a_rotation_with_any_one_message_lost_ends_with_the_key_that_the_server_knows():
    for late in (False, True):
        for lost in range(12):
            terminal = ready()
            keys = OneKey(terminal, lost, late)
            row = terminal.server.command("ROTATE_DEVICE_KEY")
            settled(terminal, keys, row)
            if keys.exchanges <= lost:
                break
        assert lost >= 4


def test_a_rotation_with_a_message_lost_and_a_power_cut_loses_no_key():
    for lost in range(1, 5):
        for operations in range(40):
            terminal = ready()
            keys = OneKey(terminal, lost, True)
            row = terminal.server.command("ROTATE_DEVICE_KEY")
            cut = is_cut_after(operations, terminal, acknowledgement, terminal, row)
            terminal.boot()
            settled(terminal, keys, row)
            if not cut:
                break
        assert not cut


def test_a_second_rotation_asks_with_the_key_of_a_first_one_that_may_still_be_on_its_way():
    terminal = ready()
    server = terminal.server
    handle = server.handle
    asked = []

    def loses_the_first(fetch):
        answer = handle(fetch)
        if server.requests[-1]["OP"] == "rotate-key":
            asked.append(server.requests[-1]["D3"])
            if len(asked) == 1:
                raise OSError("held up somewhere")
        if server.requests[-1]["OP"] == "command-ack" and len(asked) == 1:
            raise OSError("lost")
        return answer

    def knows_the_old_key(request=None):
        seed = terminal.agent.identity.seed
        if seed == terminal.vault.get("key_next") and terminal.vault.get("key") != seed:
            raise OSError("unsigned")

    server.handle = lambda fetch: (knows_the_old_key(), loses_the_first(fetch))[1]
    server.command("ROTATE_DEVICE_KEY", 1)
    terminal.run(lambda: len(asked) == 1)
    server.command("ROTATE_DEVICE_KEY", 2)
    terminal.run(lambda: len(asked) == 2)
    assert asked[0] == asked[1]


def test_each_rotation_that_the_server_answered_makes_a_new_key():
    terminal = Terminal()
    terminal.run(lambda: terminal.beats() == 1)
    seeds = [terminal.vault.get("key")]
    for number in range(3):
        row = terminal.server.command("ROTATE_DEVICE_KEY", number)
        terminal.run(lambda row=row: row["CMD1"] in terminal.server.acknowledged())
        terminal.run_cycle()
        seeds.append(terminal.vault.get("key"))
    assert len(set(seeds)) == 4
