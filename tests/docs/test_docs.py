"""The documents are true: generated parts fresh, nothing left out, examples real, links alive."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ks_agent import life, lines, schema, signing, tokens, toon, update_state
from ks_agent.message import canonical
from ks_server.crypto import NaclCrypto
from tools import doc_examples, gen_docs
from tools.doc_parts import PARTS, diagram
from tools.micropython import ROOT

PROTOCOL = (ROOT / "docs" / "protocol.md").read_text("utf-8")
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
PAGES = [
    path for path in (*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md") if path.exists()
]
FENCE = re.compile(r"^```([a-z]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CRYPTO = NaclCrypto()


def named(page: str) -> set[str]:
    """All names that the page gives as code."""
    return set(re.findall(r"`([A-Z][A-Z0-9_]*)`", page))


# -- the generator ------------------------------------------------------------------------------


def test_the_generated_parts_are_what_the_code_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert gen_docs.main(["--check"]) == 0, capsys.readouterr().out


def test_every_part_is_used() -> None:
    pages = "".join(path.read_text("utf-8") for path in (ROOT / "docs").glob("*.md"))
    used = set(re.findall(r"<!-- generated: ([a-z-]+) -->", pages))
    assert used == set(PARTS)


def test_a_stale_part_is_noticed_and_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- generated: errors -->\nstale\n<!-- end -->\nafter\n", "utf-8")
    monkeypatch.setattr(gen_docs, "DOCS", tmp_path)
    monkeypatch.setattr(gen_docs, "ROOT", tmp_path)
    assert gen_docs.main(["--check"]) == 1
    assert "-stale" in capsys.readouterr().out
    assert "stale" in page.read_text("utf-8")
    assert gen_docs.main([]) == 0
    written = page.read_text("utf-8")
    assert written.startswith("before\n") and written.endswith("after\n")
    assert "`RATE_LIMIT`" in written
    assert gen_docs.main(["--check"]) == 0


@pytest.mark.parametrize(
    "page",
    [
        "<!-- generated: errors -->\n",
        "<!-- end -->\n",
        "<!-- generated: errors -->\n<!-- generated: errors -->\n<!-- end -->\n",
        "<!-- generated: no-such-part -->\n<!-- end -->\n",
    ],
)
def test_wrong_markers_are_refused(page: str) -> None:
    with pytest.raises(gen_docs.BadPage):
        gen_docs.render(page)


# -- completeness -------------------------------------------------------------------------------


def test_every_operation_is_described() -> None:
    for request in schema.REQUESTS.values():
        assert f"{request.method} `{request.path}`" in PROTOCOL
    answers = PROTOCOL.partition("<!-- generated: answers -->")[2]
    for op in schema.ANSWERS:
        assert f"`{op}`" in answers.partition("<!-- end -->")[0]


def test_every_token_has_a_meaning() -> None:
    """In the table of tokens, not just anywhere."""
    section = PROTOCOL.partition("## 4. ")[2].partition("### Error codes")[0]
    meant = named("\n".join(row.split(" | ")[0] for row in section.splitlines()))
    assert set(tokens.TEXTS.split()) - meant == set()
    assert set(schema.LISTS) - meant == set()


def test_the_table_of_tokens_has_none_that_the_code_does_not_know() -> None:
    section = PROTOCOL.partition("## 4. ")[2].partition("### Error codes")[0]
    meant = named("\n".join(row.split(" | ")[0] for row in section.splitlines()))
    assert meant - set(tokens.TEXTS.split()) - set(schema.LISTS) == set()


def test_every_error_code_is_described() -> None:
    for code, status in schema.STATUS.items():
        assert re.search(rf"^\| `{code}` \| {status} \| \S", PROTOCOL, re.MULTILINE), code


def test_every_command_and_its_fields_are_described() -> None:
    for name, command in schema.COMMANDS.items():
        found = re.search(rf"^\| `{name}` \|.*$", PROTOCOL, re.MULTILINE)
        assert found, name
        assert {*command.required, *command.optional} <= named(found[0])
        assert ("two administrators |" in found[0]) == command.two_admins


def test_every_error_of_an_update_is_described() -> None:
    source = (ROOT / "firmware/ks_agent/update.py").read_text("utf-8")
    source += (ROOT / "firmware/ks_agent/unpack.py").read_text("utf-8")
    codes = set(re.findall(r'UpdateRefused\(\s*"([A-Z_]+)"', source))
    assert codes
    assert codes - named(PROTOCOL.partition("## 7. ")[2]) == set()


def test_every_record_of_a_terminal_is_described() -> None:
    named_here = set(re.findall(r"`([a-z_/]+\.toon|data/state/[a-z_/.]+)`", ARCHITECTURE))
    for path in sorted((ROOT / "firmware").glob("ks_*/*.py")):
        for name in re.findall(r'STATE \+ "([a-z_.]+)"', path.read_text("utf-8")):
            assert {f"data/state/{name}", f"data/state/{name}/"} & named_here, f"{path.name} {name}"


def test_every_module_of_the_core_has_its_place() -> None:
    section = ARCHITECTURE.partition("### Inside the core")[2].partition("## Ports")[0]
    for path in (ROOT / "firmware" / "ks_agent").glob("*.py"):
        assert path.stem == "__init__" or f"`{path.stem}`" in section, path.name


# -- diagrams -----------------------------------------------------------------------------------


@pytest.mark.parametrize("table", [life.TRANSITIONS, update_state.TRANSITIONS])
def test_a_diagram_has_every_transition_and_no_other(table: dict[tuple[str, str], str]) -> None:
    drawn = set()
    for start, end, events in re.findall(r"^    (\w+) --> (\w+): (.+)$", diagram(table, "X"), re.M):
        drawn |= {((start, event), end) for event in events.split(", ")}
    assert drawn == set(table.items())


def test_every_state_of_a_terminal_is_explained() -> None:
    section = ARCHITECTURE.partition("## The life of a terminal")[2].partition("## An update")[0]
    for state in {state for state, _ in life.TRANSITIONS} | set(life.TRANSITIONS.values()):
        assert re.search(rf"^\| `{state}` \| \S", section, re.MULTILINE), state


# -- examples -----------------------------------------------------------------------------------


def examples() -> Iterator[tuple[str, str]]:
    """The messages of section 8 as they stand in the document: TOON and token lines."""
    section = PROTOCOL.partition("## 8. ")[2]
    pattern = r"`text/toon`:\n\n```yaml\n(.*?)\n```\n\n`text/plain`:\n\n```text\n(.*?)\n```"
    yield from re.findall(pattern, section, re.DOTALL)


def test_each_example_is_one_message_in_two_syntaxes() -> None:
    pairs = list(examples())
    assert len(pairs) >= 7
    for in_toon, in_lines in pairs:
        one = toon.decode(in_toon.encode(), 65536)
        assert lines.decode(in_lines.encode(), 65536) == one
        assert toon.encode(one, tokens.kind_of).decode() == in_toon


def test_each_example_is_well_formed_and_well_signed() -> None:
    seeds = doc_examples.SEEDS
    device = CRYPTO.public_key(seeds["device"])
    server = CRYPTO.public_key(seeds["server, SEQ 2"])
    for _, in_lines in examples():
        message = lines.decode(in_lines.encode(), 65536)
        if "RQ" in message:
            tokens.check_answer(message["OP"], message)
            signing.verify_message(CRYPTO, server, message, "SIG_SERV")
        else:
            schema.check_request(message["OP"], message)
            signing.verify_message(CRYPTO, device, message, "SIG1")
        for row in message.get("CMD", []):
            signing.verify_command(CRYPTO, server, row)


def test_what_the_examples_say_is_signed_is_what_is_signed() -> None:
    section = PROTOCOL.partition("## 8. ")[2]
    blocks = [text.rstrip("\n") for _, text in FENCE.findall(section)]
    for _, in_lines in examples():
        message = lines.decode(in_lines.encode(), 65536)
        if message.get("OP") in ("register", "heartbeat", "rotate-key") and "RQ" not in message:
            assert canonical(message).decode() in blocks


# -- commands and links -------------------------------------------------------------------------


def code_blocks(page: Path) -> Iterator[str]:
    for language, text in FENCE.findall(page.read_text("utf-8")):
        if language in ("", "sh", "shell", "bash", "console"):
            yield text


def ks_commands() -> set[tuple[str, ...]]:
    """The subcommands of `ks` that the pages tell people to run, up to the first option."""
    found: set[tuple[str, ...]] = {()}
    for page in PAGES:
        for block in code_blocks(page):
            for line in block.splitlines():
                words = line.strip().removeprefix("$ ").removeprefix(".venv/bin/").split()
                if words[:1] == ["ks"]:
                    names = [word for word in words[1:3] if re.fullmatch(r"[a-z]+", word)]
                    found.add(tuple(names if words[1:2] == ["release"] else names[:1]))
    return found


def test_every_command_that_the_documents_name_exists() -> None:
    for words in sorted(ks_commands()):
        done = subprocess.run(
            [sys.executable, "-c", "from ks_tools.cli import main; main()", *words, "--help"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"ks {' '.join(words)}: {done.stdout}{done.stderr}"
        assert "Usage" in done.stdout


def test_every_target_of_make_that_the_documents_name_exists() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    for page in PAGES:
        text = page.read_text("utf-8")
        named_targets = set(re.findall(r"(?:`|^|\$ )make ([a-z-]+)", text, re.MULTILINE))
        assert named_targets <= targets, page.name


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as the usual Markdown sites make them."""
    prose = FENCE.sub("", page.read_text("utf-8"))
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_inside_the_repository_leads_somewhere(page: Path) -> None:
    prose = FENCE.sub("", page.read_text("utf-8"))
    for target in LINK.findall(prose):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(file), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_table_row_has_as_many_cells_as_its_head(page: Path) -> None:
    prose = FENCE.sub("", page.read_text("utf-8"))
    width = 0
    for line in prose.splitlines():
        if not line.startswith("|"):
            width = 0
            continue
        cells = len(re.findall(r"(?<!\\)\|", line))
        width = width or cells
        assert cells == width, f"{page.name}: {line[:60]}"
