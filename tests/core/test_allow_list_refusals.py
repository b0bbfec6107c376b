"""Versions of the allow list that are not believed."""

# heap: 256k because the fake flash, with the list twice, and the fake server share it with the core

import binascii

from allow_desk import SHA256, Desk, assert_found, held, people
from support import raises

from ks_agent import allow_pages
from ks_agent.errors import Malformed, PeerError


def _refused(change, key, error=Malformed):
    """A change of the answers that have a key; nothing of the new version is taken up."""
    desk = held(20, 2)
    version = desk.list.version
    desk.exchange.hold(people(21), 2)

    def bend(answer):
        if key in answer:
            change(answer)

    desk.exchange.bend = bend
    raises(error, desk.refresh)
    desk.boot()
    assert desk.list.version == version
    assert_found(desk, people(20), ("card 20",))
    desk.exchange.bend = None
    desk.refresh()
    assert_found(desk, people(21))


def test_an_index_that_is_not_the_version_is_refused():
    changes = (
        lambda answer: answer.update(AL1="0" * 16),
        lambda answer: answer.update(AL3="4"),
        lambda answer: answer.update(AL3="02"),
        lambda answer: answer.pop("AL3"),
        lambda answer: answer.update(PAGE="2"),
        lambda answer: answer.update(PAGE=[], AL3="0"),
        lambda answer: answer.update(PAGE=answer["PAGE"][::-1]),
        lambda answer: answer.update(PAGE=answer["PAGE"] + [{"AL4": "0" * 16}], AL3="3"),
        lambda answer: answer["PAGE"][0].update(AL4="0" * 16),
        lambda answer: answer["PAGE"][0].update(AL4="0" * 15),
        lambda answer: answer["PAGE"][0].update(AL4=answer["PAGE"][0]["AL4"].upper() + "0"),
        lambda answer: answer.update(PAGE=[{"X": "1"}] + answer["PAGE"][1:]),
    )
    for change in changes:
        _refused(change, "AL3")


def _refuse_index(count, digest, version=None):
    """An index as only a server that errs would sign it: its digests fit."""
    desk = held(20, 2)
    before = desk.list.version
    desk.exchange.rows = [[]] * count
    desk.exchange.digests = [digest] * count
    desk.exchange.version = version or allow_pages.list_digest(SHA256, desk.exchange.digests)
    raises(Malformed, desk.refresh)
    assert desk.list.version == before
    assert desk.pages_asked() == []


def test_an_index_is_refused_even_with_digests_that_fit():
    empty = allow_pages.page_digest(SHA256, [])
    for count in (0, 3, 6, 512):
        _refuse_index(count, empty)
    for digest in ("", empty[1:], empty + "0", empty.upper(), "g" * 16):
        _refuse_index(2, digest)
    _refuse_index(2, empty, "0" * 16)


def test_rows_that_are_not_the_page_are_refused():
    foreign = {"C1": "f" * 16, "E1": "foreign"}
    changes = (
        lambda answer: answer.update(AL1="0" * 16),
        lambda answer: answer.update(AL2="1" if answer["AL2"] == "0" else "0"),
        lambda answer: answer.update(CRED="x"),
        lambda answer: answer.pop("CRED"),
        lambda answer: answer["CRED"].pop(),
        lambda answer: answer["CRED"].append(answer["CRED"][-1]),
        lambda answer: answer["CRED"].append(foreign),
        lambda answer: answer.update(CRED=answer["CRED"][::-1]),
        lambda answer: answer["CRED"][0].update(E1="another"),
        lambda answer: answer["CRED"][0].pop("E1"),
        lambda answer: answer["CRED"][0].pop("C1"),
        lambda answer: answer["CRED"][0].update(C1="0" * 15),
        lambda answer: answer["CRED"][-1].update(C1="7" * 15 + "\n"),
    )
    for change in changes:
        _refused(change, "CRED")


def _signed_but_wrong(change):
    """Rows with digests that fit, as only a server that errs would sign them."""
    desk = held(20, 2)
    version = desk.list.version
    exchange = desk.exchange
    exchange.hold(people(21), 2)
    change(exchange.rows)
    exchange.seal()
    raises(Malformed, desk.refresh)
    assert desk.list.version == version
    assert_found(desk, people(20), ("card 20",))


def test_rows_out_of_order_or_of_another_page_are_refused_even_with_digests_that_fit():
    changes = (
        lambda pages: pages[0].append(pages[0][-1]),
        lambda pages: pages[0].append(pages[1][0]),
        lambda pages: pages[1].insert(0, pages[0][0]),
        lambda pages: pages[0].append(pages[0].pop(0)),
        lambda pages: pages[0][-1].update(C1="7" * 15 + "G"),
        lambda pages: pages[0][-1].update(C1="7" * 15 + "F"),
        lambda pages: pages[0][-1].update(C1="7" * 17),
    )
    for change in changes:
        _signed_but_wrong(change)


def test_more_rows_than_a_page_may_have_are_refused():
    desk = Desk()
    desk.exchange.hold(people(allow_pages.PAGE_MAX_ROWS + 1), 1)
    raises(Malformed, desk.refresh)
    desk.exchange.hold(people(allow_pages.PAGE_MAX_ROWS), 1)
    desk.refresh()
    assert_found(desk, {"card 1": "E1", "card 119": "E119"})


def test_an_e1_that_is_empty_too_long_or_has_control_characters_is_refused():
    for e1 in ("", "x" * 65, "ü" * 33, "a\nffffffffffffffff:b", "\0", "a\x1f", "a\x7f"):
        _signed_but_wrong(lambda pages, e1=e1: pages[0][-1].update(E1=e1))


def test_a_row_that_the_server_made_up_is_refused_or_taken_as_it_is():
    for number in range(150):
        digest = binascii.hexlify(SHA256(str(number).encode()).digest()).decode()
        desk = Desk()
        desk.exchange.hold(people(6), 1)
        rows = desk.exchange.rows[0]
        row = rows[number % 6]
        start = number % 40
        key = "CE"[number % 2] + "1"
        row[key] = digest[start : start + 16 + number % 3]
        desk.exchange.seal()
        try:
            desk.refresh()
        except PeerError:
            assert key == "C1"
            assert desk.list.version == ""
            continue
        assert desk.list.version == desk.exchange.version
        found = [desk.list.find(credential) for credential in people(6)]
        assert found.count(None) == (key == "C1")
