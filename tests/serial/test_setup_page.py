"""The page of setup mode against whoever can reach it: other pages, odd clients, any bytes."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ks_board.setup_page import BadRequest, Page, body_length, parse_form

TOKEN = "0123456789abcdef0123456789abcdef"
HOST = "192.168.4.1"
FORM = "application/x-www-form-urlencoded"


class Trial:
    text = "Trying <b>&\"'"
    trying = False

    def is_trying(self) -> bool:
        return self.trying


class Desk:
    def __init__(self) -> None:
        self.trial = Trial()
        self.begun: list[tuple[str, str]] = []
        self.page: Any = Page(HOST, "KS-1", TOKEN, self.trial, self.begin)

    def begin(self, name: str, password: str) -> None:
        if not name:
            raise ValueError("no name")
        self.begun.append((name, password))

    def ask(self, head: str, body: bytes = b"") -> tuple[int, str]:
        answer: bytes = self.page.answer(head.encode(), body)
        return int(answer.split(b" ")[1]), answer.decode()

    def post(self, more: str = "", host: str = HOST, kind: str = FORM, **fields: str) -> int:
        form = {"token": TOKEN, "ssid": "new", "password": "the new one", **fields}
        head = f"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Type: {kind}{more}"
        return self.ask(head, urlencode(form).encode())[0]


def test_the_form_is_shown_and_everything_in_it_escaped() -> None:
    status, page = Desk().ask(f"GET / HTTP/1.1\r\nHost: {HOST}")
    assert status == 200
    assert f'value="{TOKEN}"' in page
    assert "Trying &lt;b&gt;&amp;&quot;&#39;" in page
    assert "default-src 'none'" in page
    assert "http://" not in page and "https://" not in page  # nothing from elsewhere


def test_while_it_tries_there_is_no_form() -> None:
    desk = Desk()
    desk.trial.trying = True
    assert "<form" not in desk.ask(f"GET / HTTP/1.1\r\nHost: {HOST}")[1]
    assert desk.post() == 303
    assert desk.begun == []


def test_a_network_is_tried_with_its_name_in_any_language() -> None:
    desk = Desk()
    assert desk.post(ssid="Büro & 北京 +%", password="pass word%41") == 303
    assert desk.begun == [("Büro & 北京 +%", "pass word%41")]


@pytest.mark.parametrize(
    ("how", "status"),
    [
        ({"token": TOKEN[:-1] + "0"}, 403),
        ({"token": ""}, 403),
        ({"token": TOKEN + "x"}, 403),
        ({"host": "attacker.example"}, 403),
        ({"host": HOST + ":8080"}, 403),
        ({"more": "\r\nOrigin: http://attacker.example"}, 403),
        ({"more": "\r\nOrigin: null"}, 403),
        ({"kind": "text/plain"}, 400),
        ({"ssid": ""}, 400),
        ({"ssid": "a\nb"}, 400),
        ({"ssid": "a\0b"}, 400),
    ],
)
def test_another_pages_request_does_nothing(how: dict[str, str], status: int) -> None:
    desk = Desk()
    assert desk.post(**how) == status
    assert desk.begun == []


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("GET / HTTP/1.1", 403),
        ("GET /x HTTP/1.1\r\nHost: " + HOST, 404),
        ("GET http://x/ HTTP/1.1\r\nHost: " + HOST, 404),
        ("PUT / HTTP/1.1\r\nHost: " + HOST, 405),
        ("GET / HTTP/3\r\nHost: " + HOST, 400),
        ("GET /\r\nHost: " + HOST, 400),
        (f"GET / HTTP/1.1\r\nHost: {HOST}\r\nHost: {HOST}", 400),
        (f"GET / HTTP/1.1\r\nHost: {HOST}\r\n folded", 400),
        (f"GET / HTTP/1.1\r\nHost: {HOST}\r\nX: \u00e9", 400),
        (f"GET / HTTP/1.1\r\nHost: {HOST}\r\nX: {'x' * 4000}", 413),
        ("", 400),
    ],
)
def test_odd_requests_are_refused(head: str, status: int) -> None:
    assert Desk().ask(head)[0] == status


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ("Content-Length: 1025", 413),
        ("Content-Length: -1", 400),
        ("Content-Length: 0x10", 400),
        ("Content-Length:", 400),
        ("Content-Length: 1234567", 400),
        ("Content-Length: 1\r\nContent-Length: 2", 400),
        ("Transfer-Encoding: chunked", 400),
    ],
)
def test_a_body_has_one_small_length(more: str, status: int) -> None:
    with pytest.raises(BadRequest) as refused:
        body_length(f"POST / HTTP/1.1\r\nHost: {HOST}\r\n{more}".encode())
    assert refused.value.status == status


@pytest.mark.parametrize(
    "body", [b"a", b"a=1&a=2", b"a=%", b"a=%4", b"a=%zz", b"a=%c0%af", b"a=%ff", b"a=1&" * 9]
)
def test_a_form_that_is_none_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        parse_form(body)


@given(st.binary(max_size=400), st.binary(max_size=200))
def test_any_bytes_get_an_answer_and_start_nothing(head: bytes, body: bytes) -> None:
    desk = Desk()
    assert desk.page.answer(head, body).startswith(b"HTTP/1.1 4")
    assert desk.begun == []


@given(st.binary(max_size=200))
def test_any_form_without_the_token_starts_nothing(body: bytes) -> None:
    desk = Desk()
    head = f"POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: {FORM}"
    assert desk.ask(head, body)[0] in (400, 403)
    assert desk.begun == []


@given(
    st.dictionaries(
        st.text("abc", min_size=1), st.text(st.characters(codec="utf-8", min_codepoint=32))
    )
)
def test_a_browsers_form_is_read_as_it_was_meant(fields: dict[str, str]) -> None:
    body = urlencode(fields).encode()
    usable = (
        fields
        and len(fields) <= 8
        and len(body) <= 1024
        and not any(chr(127) in text for text in fields.values())
    )
    if usable:
        assert parse_form(body) == fields
