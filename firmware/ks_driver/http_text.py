"""The text of HTTP/1.1: addresses and request heads written, answers' heads read. No I/O.

Everything refused here is an OSError: OSError(EINVAL) for our own request, which is then not
sent, AnswerRefused for an answer.
"""

import errno

MAX_URL_CHARACTERS = 4096
MAX_HEADERS = 48
MAX_LENGTH_DIGITS = 9

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_DIGITS = "0123456789"
_NAME = _LETTERS + _DIGITS + ".-"
_ADDRESS = "0123456789ABCDEFabcdef:."
_PATH = _NAME + "_~:/?[]@!$&'()*+,;=%"  # RFC 3986; a fragment is not sent
_TOKEN = _NAME + "!#$%&'*+^_`|~"  # RFC 9110, section 5.6.2
_OURS = ("host", "connection", "content-length", "transfer-encoding", "accept-encoding")
_PORTS = {"http": 80, "https": 443}


class AnswerRefused(OSError):
    """The server answered something that this client must not or will not read."""


def _refuse(reason):
    raise OSError(errno.EINVAL, reason)


def parse_url(url):
    """(scheme, host, port, path with query) of an absolute http or https address."""
    scheme, found, rest = url.partition("://")
    if not found or scheme not in _PORTS or len(url) > MAX_URL_CHARACTERS:
        _refuse("not an http address")
    end = len(rest)
    for mark in "/?":
        place = rest.find(mark)
        if 0 <= place < end:
            end = place
    host, port = _authority(rest[:end], _PORTS[scheme])
    path = rest[end:]
    if path[:1] != "/":
        path = "/" + path
    if not _only(path, _PATH):
        _refuse("a character that is not for addresses")
    return scheme, host, port, path


def _authority(text, port):
    if text[:1] == "[":
        host, found, after = text[1:].partition("]")
        if not found or (after and after[:1] != ":") or not _only(host, _ADDRESS):
            _refuse("bad address of a host")
        port_text = after[1:] if after else None
    else:
        host, found, port_text = text.partition(":")
        if not _only(host, _NAME) or host[:1] == "." or ".." in host:
            _refuse("bad name of a host")
        if not found:
            port_text = None
    if not 1 <= len(host) <= 253:
        _refuse("bad name of a host")
    if port_text is not None:
        if not 1 <= len(port_text) <= 5 or not _only(port_text, _DIGITS):
            _refuse("bad port")
        port = int(port_text)
        if not 1 <= port <= 65535:
            _refuse("bad port")
    return host, port


def _only(text, allowed):
    return not text.strip(allowed)


def request_head(method, target, headers, body):
    """The bytes of a request up to its body; `target` as parse_url gives it."""
    scheme, host, port, path = target
    if method not in ("GET", "POST"):
        _refuse("a method that is not used")
    authority = "[" + host + "]" if ":" in host else host
    if port != _PORTS[scheme]:
        authority += ":%d" % port
    lines = [method + " " + path + " HTTP/1.1", "Host: " + authority, "Accept-Encoding: identity"]
    for name, value in headers:
        if not name or not _only(name, _TOKEN) or name.lower() in _OURS:
            _refuse("bad name of a header")
        if value and (min(value) < " " or max(value) > "~"):
            _refuse("bad value of a header")
        lines.append(name + ": " + value)
    if body is not None or method == "POST":
        lines.append("Content-Length: %d" % len(body or b""))
    lines.append("\r\n")
    return "\r\n".join(lines).encode()


def parse_head(data):
    """(status, headers) of an answer's head without its empty line. Raises AnswerRefused.

    `headers` maps lower-case names to text; values of a repeated name are joined with ", ",
    except that Content-Length may not be repeated.
    """
    lines = data.split(b"\r\n")
    if len(lines) > MAX_HEADERS + 1:
        raise AnswerRefused("too many headers")
    text = data.replace(b"\r\n", b"").replace(b"\t", b"")
    if not text or min(text) < 32 or max(text) > 126:
        raise AnswerRefused("a byte that is not for heads")
    status = _status(lines[0].decode())
    headers = {}
    for line in lines[1:]:
        name, found, value = line.decode().partition(":")
        name = name.lower()
        if not found or not name or not _only(name, _TOKEN):
            raise AnswerRefused("bad header")
        value = value.strip(" \t")
        if name not in headers:
            headers[name] = value
        elif name == "content-length":
            raise AnswerRefused("two lengths")
        else:
            headers[name] = headers[name] + ", " + value
    if lines[0][:8] == b"HTTP/1.0" and "connection" not in headers:
        headers["connection"] = "close"
    return status, headers


def _status(line):
    if line[:9] not in ("HTTP/1.1 ", "HTTP/1.0 ") or line[12:13] not in ("", " "):
        raise AnswerRefused("not an HTTP answer")
    code = line[9:12]
    if len(code) != 3 or not _only(code, _DIGITS):
        raise AnswerRefused("not an HTTP answer")
    status = int(code)
    # 1xx, 204 and 304 have no body, and nothing that we send asks for one of them.
    if not 200 <= status <= 599 or status in (204, 304):
        raise AnswerRefused("an unexpected status")
    return status


def content_length(headers, max_bytes):
    """The length of the body. Raises AnswerRefused where it cannot be told or is too large."""
    if "transfer-encoding" in headers:
        raise AnswerRefused("a chunked answer")
    if headers.get("content-encoding", "identity") != "identity":
        raise AnswerRefused("a compressed answer")
    text = headers.get("content-length", "")
    if not 1 <= len(text) <= MAX_LENGTH_DIGITS or not _only(text, _DIGITS):
        raise AnswerRefused("an answer without a length")
    length = int(text)
    if length > max_bytes:
        raise AnswerRefused("the answer is too long")
    return length


def is_kept(headers):
    """Whether the server leaves the connection open."""
    return "close" not in headers.get("connection", "").lower()
