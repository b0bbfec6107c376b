"""The HTTP client's text: addresses, request heads, answers' heads. No sockets."""

from support import raises

from ks_driver.http_text import (
    AnswerRefused,
    content_length,
    is_kept,
    parse_head,
    parse_url,
    request_head,
)

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 3"


def refuses_url(url):
    raises(OSError, parse_url, url)


def test_an_address_falls_into_scheme_host_port_and_path():
    assert parse_url("http://kiosk.example/a/b?c=d") == ("http", "kiosk.example", 80, "/a/b?c=d")
    assert parse_url("https://kiosk.example") == ("https", "kiosk.example", 443, "/")
    assert parse_url("http://127.0.0.1:8080?x=%7C") == ("http", "127.0.0.1", 8080, "/?x=%7C")
    assert parse_url("http://[::1]:8080/") == ("http", "::1", 8080, "/")


def test_an_address_cannot_smuggle_a_line_into_the_request():
    for character in ("\r", "\n", " ", "\t", "\0", "\x7f", "é", "#", "\\", '"', "<"):
        refuses_url("http://host/pa" + character + "th")
        refuses_url("http://host/?query=" + character)
        refuses_url("http://ho" + character + "st/")
    refuses_url("http://host/path HTTP/1.1\r\nX: y")


def test_an_address_of_another_kind_is_refused():
    for url in ("", "host/path", "/path", "ftp://host/", "http:/host", "HTTP://host/", "file:x"):
        refuses_url(url)
    refuses_url("http://host/" + "a" * 4096)


def test_a_host_that_is_none_is_refused():
    for host in ("", "user@host", "user:password@host", ".host", "a..b", "[::1", "[::1]x", "[g]"):
        refuses_url("http://" + host + "/")
    refuses_url("http://" + "a" * 254 + "/")


def test_a_port_has_to_be_a_port():
    for port in ("", "0", "65536", "99999", "123456", "8O", "-1", "+1", "1_0", " 80"):
        refuses_url("http://host:" + port + "/")


def test_a_request_names_host_length_and_its_own_headers():
    head = request_head("POST", parse_url("http://host:81/p"), [("X-Kind", "a b")], b"body")
    assert head == (
        b"POST /p HTTP/1.1\r\nHost: host:81\r\nAccept-Encoding: identity\r\n"
        b"X-Kind: a b\r\nContent-Length: 4\r\n\r\n"
    )
    assert b"Content-Length" not in request_head("GET", parse_url("http://host/"), [], None)
    assert b"Content-Length: 0\r\n" in request_head("POST", parse_url("http://host/"), [], None)
    assert b"Host: [::1]\r\n" in request_head("GET", parse_url("http://[::1]/"), [], None)


def test_a_header_cannot_smuggle_another_one():
    target = parse_url("http://host/")
    for value in ("a\r\nB: c", "a\nb", "a\rb", "\0", "\x7f", "é"):
        raises(OSError, request_head, "GET", target, [("Accept", value)], None)
    for name in ("", "A:", "A B", "A\r\nB", "Host", "content-length", "Transfer-Encoding", "é"):
        raises(OSError, request_head, "GET", target, [(name, "x")], None)


def test_only_the_methods_in_use_are_sent():
    for method in ("HEAD", "get", "CONNECT", "GET / HTTP/1.1\r\nX: y\r\n\r\nGET"):
        raises(OSError, request_head, method, parse_url("http://host/"), [], None)


def test_a_good_head_is_read_with_lower_case_names():
    status, headers = parse_head(OK + b"\r\nX-A: 1\r\nx-a:\t2 \r\nEmpty:")
    assert status == 200
    assert headers == {"content-length": "3", "x-a": "1, 2", "empty": ""}
    assert content_length(headers, 3) == 3
    assert parse_head(b"HTTP/1.1 503") == (503, {})


def test_a_head_that_is_not_http_is_refused():
    for line in (
        b"",
        b"HTTP/1.1",
        b"HTTP/1.1 20",
        b"HTTP/1.1 2x0 OK",
        b"HTTP/1.1 2000 OK",
        b"HTTP/1.1  200 OK",
        b"HTTP/2 200 OK",
        b"HTTP/1.2 200 OK",
        b"http/1.1 200 OK",
        b"ICY 200 OK",
        b"HTTP/1.1 +20 OK",
    ):
        raises(AnswerRefused, parse_head, line + b"\r\nContent-Length: 3")


def test_a_status_without_a_body_is_refused():
    for status in (b"100", b"101", b"199", b"204", b"304", b"600", b"999", b"000"):
        raises(AnswerRefused, parse_head, b"HTTP/1.1 " + status + b" X\r\nContent-Length: 3")


def test_a_header_line_that_is_none_is_refused():
    for line in (b"no colon", b": no name", b"bad name: x", b" folded", b"\tfolded", b"a: \xff"):
        raises(AnswerRefused, parse_head, OK + b"\r\n" + line)
    for byte in (b"\n", b"\r", b"\0", b"\x1b", b"\x7f"):
        raises(AnswerRefused, parse_head, OK + b"\r\nA: x" + byte + b"y")


def test_too_many_headers_are_refused():
    parse_head(OK + b"\r\nA: b" * 47)
    raises(AnswerRefused, parse_head, OK + b"\r\nA: b" * 48)


def test_a_length_is_digits_and_there_is_one():
    for value in ("", "-1", "+3", "3.0", "0x3", " ", "3 3", "1_0", "3, 3", "1" * 10, "٣"):
        raises(AnswerRefused, content_length, {"content-length": value}, 2000000000)
    raises(AnswerRefused, parse_head, OK + b"\r\ncontent-length: 3")
    raises(AnswerRefused, content_length, {}, 100)
    assert content_length({"content-length": "0"}, 0) == 0


def test_a_length_over_the_limit_is_refused():
    assert content_length({"content-length": "100"}, 100) == 100
    raises(AnswerRefused, content_length, {"content-length": "101"}, 100)


def test_a_chunked_or_compressed_answer_is_refused():
    for name, value in (("transfer-encoding", "chunked"), ("transfer-encoding", "identity")):
        raises(AnswerRefused, content_length, {name: value, "content-length": "3"}, 9)
    for value in ("gzip", "br", "identity, gzip"):
        headers = {"content-encoding": value, "content-length": "3"}
        raises(AnswerRefused, content_length, headers, 9)


def test_a_connection_is_kept_unless_the_server_says_otherwise():
    assert is_kept(parse_head(OK)[1])
    assert not is_kept(parse_head(OK + b"\r\nConnection: Close")[1])
    assert not is_kept(parse_head(OK.replace(b"HTTP/1.1", b"HTTP/1.0"))[1])


def test_whatever_the_bytes_are_a_head_is_read_or_refused():
    seed = 12345
    for length in range(200):
        data = bytearray(OK)
        for _ in range(length % 7 + 1):
            seed = (seed * 1103515245 + 12345) & 0x7FFFFFFF
            data[seed // 65536 % len(data)] = seed // 256 % 256
        try:
            status, _ = parse_head(bytes(data))
        except AnswerRefused:
            continue
        assert 200 <= status <= 599
