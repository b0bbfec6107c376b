"""docs/serial.md says what is so."""

from __future__ import annotations

from ks_agent import toon
from ks_board import console_refusal
from ks_tools.serial_line import LineReader
from tests.serial.desk import Terminal
from tools.micropython import ROOT


def test_the_example_in_the_document_is_a_message() -> None:
    text = (ROOT / "docs" / "serial.md").read_text("utf-8")
    lines = [line.strip() for line in text.splitlines() if line.startswith("    ~")]
    (document,) = LineReader().feed("".join(line + "\n" for line in lines).encode())
    assert toon.decode(document, 8192) == {"NAME": "flash", "OP": "test", "SEQ": "7"}


def test_every_code_and_operation_is_described() -> None:
    text = (ROOT / "docs" / "serial.md").read_text("utf-8")
    codes = [name for name in vars(console_refusal) if name.isupper()]
    operations = [*Terminal().boot()._operations, "setup"]
    assert [word for word in codes + operations if f"| `{word}` |" not in text] == []
