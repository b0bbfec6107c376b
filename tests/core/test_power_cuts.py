"""The power goes at every flash operation in turn; then the terminal boots again."""

# heap: 384k because the agent, compiled here, shares it with the test's server and flash

from fakes import ADMIN_SEEDS, acknowledgement, is_cut_after, public_text, ready

COMMANDS = (
    "IDENTIFY",
    "RESTART",
    "FETCH_LOGS",
    "ROTATE_DEVICE_KEY",
    "TRUST_KEY",
    "HALT_UPDATES",
    "RESUME_UPDATES",
    "APPLY_CONFIG",
    "WIPE",
    "REVOKE",
)
PAYLOADS = {"APPLY_CONFIG": "SITE:x", "TRUST_KEY": "ROLE:admin|KEY:" + public_text(b"N" * 32)}


def test_a_power_cut_at_any_flash_operation_of_a_command_never_performs_it_twice():
    for name in COMMANDS:
        for operations in range(100):
            terminal = ready()
            fields = PAYLOADS.get(name, "")
            row = terminal.server.command(name, 1, fields, admins=ADMIN_SEEDS)
            cut = is_cut_after(operations, terminal, acknowledgement, terminal, row)
            performed = terminal.board.counts.get("identify", 0)
            terminal.boot()
            acknowledgement(terminal, row)
            performed += terminal.board.counts.get("identify", 0)
            assert performed <= 1
            assert len(terminal.restarts) <= 1
            if not cut:
                break
        assert not cut, name


def test_a_distrusted_key_that_never_was_trusted_is_said_to_be_so_only_when_it_is():
    key = public_text(b"N" * 32)
    for operations in range(40):
        terminal = ready()
        fields = "ROLE:release|KEY:" + key
        row = terminal.server.command("DISTRUST_KEY", 1, fields, admins=ADMIN_SEEDS)
        cut = is_cut_after(operations, terminal, acknowledgement, terminal, row)
        terminal.boot()
        said = acknowledgement(terminal, row)
        assert said.startswith("OK") == (key in terminal.agent.trust.distrusted), said
        if not cut:
            break
    assert not cut and operations > 8
