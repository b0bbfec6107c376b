"""The one page of setup mode: a form for a Wi-Fi network's name and password.

Whoever can reach it knows the terminal's own password, or has a browser that does: so a request
must name this terminal as its host, bring the page's token, and come from no other page.
"""

import binascii

MAX_HEAD_BYTES = 3072
MAX_BODY_BYTES = 1024
MAX_FIELDS = 8

_REASONS = {
    200: "OK",
    303: "See Other",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Content Too Large",
}
_HEADERS = (
    "Content-Type: text/html; charset=utf-8\r\n"
    "Cache-Control: no-store\r\n"
    "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'\r\n"
    "Referrer-Policy: same-origin\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "Connection: close\r\n"
)
_STYLE = (
    "body{font:1.1em sans-serif;max-width:24em;margin:2em auto;padding:0 1em}"
    "input,button{font:inherit;width:100%;box-sizing:border-box;padding:.5em;margin:.3em 0 1em}"
    "p{padding:.6em;background:#eee}"
)
_FORM = (
    '<form method="post" action="/"><input type="hidden" name="token" value="%s">'
    '<label>Network<input name="ssid" maxlength="32" required autocomplete="off"></label>'
    '<label>Password<input name="password" type="password" maxlength="63" autocomplete="off">'
    "</label><button>Try it</button></form>"
)
_PAGE = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8">%s'
    '<meta name="viewport" content="width=device-width"><title>%s</title><style>%s</style></head>'
    "<body><h1>%s</h1><p>%s</p>%s</body></html>"
)
_AGAIN = '<meta http-equiv="refresh" content="3">'


class BadRequest(Exception):
    """`status`: what it is answered with."""

    def __init__(self, status):
        super().__init__(_REASONS[status])
        self.status = status


class Page:
    """`host`: the terminal's address; `d1`: what it is called; `token`: unguessable text.

    `trial`: see setup_trial; `begin(name, password)` starts a try and comes back at once, and
    raises ValueError for what no network has.
    """

    def __init__(self, host, d1, token, trial, begin):
        self._host = host
        self._d1 = d1
        self._token = token
        self._trial = trial
        self._begin = begin

    def answer(self, head, body):
        """The bytes of the answer to a request's bytes. Never raises for what a request holds."""
        try:
            method, headers = parse_head(head)
            self._check_origin(headers)
            if method == "GET":
                return _answer(200, self._page())
            return self._post(headers, body)
        except BadRequest as refused:
            return refusal(refused)

    def _check_origin(self, headers):
        if headers.get("host") not in (self._host, self._host + ":80"):
            raise BadRequest(403)
        origin = headers.get("origin")
        if origin is not None and origin != "http://" + self._host:
            raise BadRequest(403)

    def _post(self, headers, body):
        kind = headers.get("content-type", "").partition(";")[0].strip()
        if kind != "application/x-www-form-urlencoded":
            raise BadRequest(400)
        fields = parse_form(body)
        if not _same(fields.get("token", ""), self._token):
            raise BadRequest(403)
        if not self._trial.is_trying():
            try:
                self._begin(fields.get("ssid", ""), fields.get("password", ""))
            except ValueError:
                raise BadRequest(400)
        return _answer(303, "", "Location: /\r\n")

    def _page(self):
        is_trying = self._trial.is_trying()
        form = "" if is_trying else _FORM % escape(self._token)
        again = _AGAIN if is_trying else ""
        name = escape(self._d1)
        return _PAGE % (again, name, _STYLE, name, escape(self._trial.text), form)


async def answered(parts, reader, head, rest):
    """The answer to a request whose head has come, and `rest` of its body. Raises EOFError."""
    try:
        length = body_length(head)
        while len(rest) < length:
            piece = await reader.read(length - len(rest))
            if not piece:
                raise EOFError()
            rest += piece
        return Page(*parts).answer(head, rest[:length])
    except BadRequest as refused:
        return refusal(refused)


def refusal(refused):
    """The answer to what is a BadRequest."""
    return _answer(refused.status, escape(str(refused)))


def parse_head(head):
    """(method, headers by lower-case name) of a request's head. Raises BadRequest.

    `head` ends before the empty line. The one page there is is `/`.
    """
    if len(head) > MAX_HEAD_BYTES:
        raise BadRequest(413)
    for code in head:
        if code > 126 or (code < 32 and code not in (9, 10, 13)):
            raise BadRequest(400)
    lines = head.decode().split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or words[2] not in ("HTTP/1.1", "HTTP/1.0"):
        raise BadRequest(400)
    headers = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        name = name.lower()
        if not colon or not name or name.strip("abcdefghijklmnopqrstuvwxyz0123456789-_"):
            raise BadRequest(400)
        if name in headers and name in ("host", "content-length", "origin", "content-type"):
            raise BadRequest(400)
        headers[name] = value.strip(" \t")
    if words[0] not in ("GET", "POST"):
        raise BadRequest(405)
    if words[1] != "/":
        raise BadRequest(404)
    return words[0], headers


def body_length(head):
    """Bytes of the body that a head announces, at most MAX_BODY_BYTES. Raises BadRequest."""
    method, headers = parse_head(head)
    if "transfer-encoding" in headers:
        raise BadRequest(400)
    text = headers.get("content-length", "0")
    if not 1 <= len(text) <= 6 or text.strip("0123456789"):
        raise BadRequest(400)
    if int(text) > MAX_BODY_BYTES:
        raise BadRequest(413)
    return int(text) if method == "POST" else 0


def parse_form(body):
    """The fields, each once, of an urlencoded form. Raises BadRequest."""
    fields = {}
    if len(body) > MAX_BODY_BYTES:
        raise BadRequest(413)
    for pair in body.split(b"&", MAX_FIELDS):
        name, equals, value = pair.partition(b"=")
        key = _decoded(name)
        if not equals or key in fields or len(fields) == MAX_FIELDS:
            raise BadRequest(400)
        fields[key] = _decoded(value)
    return fields


def _decoded(data):
    pieces = data.replace(b"+", b" ").split(b"%")
    raw = pieces[0]
    for piece in pieces[1:]:
        if len(piece) < 2 or piece[:2].strip(b"0123456789abcdefABCDEF"):
            raise BadRequest(400)
        raw += binascii.unhexlify(piece[:2]) + piece[2:]
    from ks_agent import utf8

    text = utf8.text(raw)
    if text is None:
        raise BadRequest(400)
    for code in raw:
        if code < 32 or code == 127:
            raise BadRequest(400)
    return text


def escape(text):
    """Text within HTML, in an attribute as well."""
    for character, entity in (
        ("&", "&amp;"),
        ("<", "&lt;"),
        (">", "&gt;"),
        ('"', "&quot;"),
        ("'", "&#39;"),
    ):
        text = text.replace(character, entity)
    return text


def _same(text, other):
    """Compared in a time that does not tell where they differ."""
    one, two = text.encode(), other.encode()
    differs = len(one) ^ len(two)
    for index in range(min(len(one), len(two))):
        differs |= one[index] ^ two[index]
    return differs == 0


def _answer(status, html, more=""):
    body = html.encode()
    head = "HTTP/1.1 %d %s\r\n%s%sContent-Length: %d\r\n\r\n"
    return (head % (status, _REASONS[status], _HEADERS, more, len(body))).encode() + body
