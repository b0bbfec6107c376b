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
        lambda answer: answer.update(AL3="-2"),
        lambda answer: answer.pop("AL3"),
        lambda answer: answer.pop("AL4"),
        lambda answer: answer.update(AL4=[]),
        lambda answer: answer.update(AL4="", AL3="0"),
        lambda answer: answer.update(AL4=answer["AL4"][16:] + answer["AL4"][:16]),
        lambda answer: answer.update(AL4=answer["AL4"] + "0" * 16, AL3="3"),
        lambda answer: answer.update(AL4="0" * 16 + answer["AL4"][16:]),
        lambda answer: answer.update(AL4=answer["AL4"][1:]),
        lambda answer: answer.update(AL4=answer["AL4"] + "0"),
        lambda answer: answer.update(AL4=answer["AL4"].upper() + "A"),
    )
    for change in changes:
        _refused(change, "AL3")


def _refuse_index(pages, index, version=None):
    """An index as only a server that errs would sign it: its digest fits."""
    desk = held(20, 2)
    before = desk.list.version
    desk.exchange.pages = [""] * pages
    desk.exchange.index = index
    desk.exchange.version = version or allow_pages.text_digest(SHA256, index)
    raises(Malformed, desk.refresh)
    assert desk.list.version == before
    assert desk.pages_asked() == []


def test_an_index_is_refused_even_with_a_digest_that_fits():
    empty = allow_pages.text_digest(SHA256, "")
    for count in (0, 3, 6, 257, 512):
        _refuse_index(count, empty * count)
    for digest in ("", empty[1:], empty + "0", empty.upper(), "g" * 16, "é" * 16, " " * 16):
        _refuse_index(2, digest * 2)
    _refuse_index(2, empty * 2, "0" * 16)


def test_a_text_that_is_not_the_page_is_refused():
    changes = (
        lambda answer: answer.update(AL1="0" * 16),
        lambda answer: answer.update(AL2="1" if answer["AL2"] == "0" else "0"),
        lambda answer: answer.update(AL5=[]),
        lambda answer: answer.update(AL5=""),
        lambda answer: answer.update(AL5="x"),
        lambda answer: answer.pop("AL5"),
        lambda answer: answer.update(AL5=answer["AL5"][:-1]),
        lambda answer: answer.update(AL5=answer["AL5"] + ";"),
        lambda answer: answer.update(AL5=answer["AL5"] + ";" + "f" * 16 + "=foreign"),
        lambda answer: answer.update(AL5=answer["AL5"].replace("=E", "=F")),
    )
    for change in changes:
        _refused(change, "AL5")


def _signed_but_wrong(change):
    """Pages with digests that fit, as only a server that errs would sign them.

    `change` makes another list of rows, `C1=E1` each, of those of both pages.
    """
    desk = held(20, 2)
    version = desk.list.version
    exchange = desk.exchange
    exchange.hold(people(21), 2)
    pages = [page.split(";") for page in exchange.pages]
    change(pages)
    exchange.pages = [";".join(rows) for rows in pages]
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
        lambda pages: pages[0].append("7" * 15 + "G=E"),
        lambda pages: pages[0].append("7" * 15 + "F=E"),
        lambda pages: pages[0].append("7" * 15 + " =E"),
        lambda pages: pages[0].append("7" * 15 + "\n=E"),
        lambda pages: pages[0].append("7" * 15 + "é=E"),
        lambda pages: pages[0].append("7" * 17 + "=E"),
        lambda pages: pages[0].append("7" * 15 + "=E"),
        lambda pages: pages[0].append("7" * 16),
        lambda pages: pages[0].append("7" * 16 + ":E"),
        lambda pages: pages[0].append("=E"),
        lambda pages: pages[0].append("="),
        lambda pages: pages[0].append(""),
        lambda pages: pages[0].insert(0, ""),
        lambda pages: pages[0].insert(2, ""),
    )
    for change in changes:
        _signed_but_wrong(change)


def test_an_e1_that_is_no_id_is_refused():
    for e1 in ("", "x" * 65, "ü", "a\n", "a\nffffffffffffffff=b", "\0", "a b", "a=b", "a:b", "a,b"):
        _signed_but_wrong(lambda pages, e1=e1: pages[0].append("7" * 16 + "=" + e1))


def test_a_page_as_long_as_a_value_may_be_is_taken():
    desk = Desk()
    rows = [("%016x" % number, "E") for number in range(215)]
    text = allow_pages.page_text(rows)
    text += "E" * (4096 - len(text))
    desk.exchange.pages = [text]
    desk.exchange.seal()
    desk.refresh()
    assert desk.list.version == desk.exchange.version


def test_a_row_that_the_server_made_up_is_refused_or_taken_as_it_is():
    for number in range(150):
        digest = binascii.hexlify(SHA256(str(number).encode()).digest()).decode()
        desk = Desk()
        desk.exchange.hold(people(6), 1)
        rows = [row.split("=") for row in desk.exchange.pages[0].split(";")]
        start = number % 40
        rows[number % 6][number % 2] = digest[start : start + 16 + number % 3]
        desk.exchange.pages = [";".join(["=".join(row) for row in rows])]
        desk.exchange.seal()
        try:
            desk.refresh()
        except PeerError:
            assert number % 2 == 0
            assert desk.list.version == ""
            continue
        assert desk.list.version == desk.exchange.version
        found = [desk.list.find(credential) for credential in people(6)]
        assert found.count(None) == 1 - number % 2
