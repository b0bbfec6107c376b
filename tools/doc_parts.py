"""The generated parts of docs/, each made from the code that it describes."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from ks_agent import effects, errors, life, schema, tokens, update_state
from ks_server import rollout_engine
from tools import doc_examples

Part = Callable[[], str]


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    names = list(head)
    written = [names, ["---"] * len(names), *(list(row) for row in rows)]
    return "\n".join("| " + " | ".join(row) + " |" for row in written)


def code(*names: str) -> str:
    """Names as code, separated by blanks."""
    return " ".join(f"`{name}`" for name in names)


def operations() -> str:
    rows = []
    for request in schema.REQUESTS.values():
        lists = [f"`{name}` {{{', '.join(columns)}}}" for name, columns in request.lists.items()]
        required = [key for key in request.required if key not in request.lists]
        if request.needs_op:
            required.append("OP")
        rows.append(
            [
                f"{request.method} `{request.path}`",
                code(*required),
                code(*request.optional),
                ", ".join(lists),
                f"{request.max_body_bytes // tokens.KIB} KiB, {request.max_rows} rows",
            ]
        )
    return table(("call", "required", "optional", "list", "at most"), rows)


def answers() -> str:
    rows = []
    for op, answer in schema.ANSWERS.items():
        lists = [f"`{name}` {{{', '.join(columns)}}}" for name, columns in answer.lists.items()]
        rows.append([f"`{op}`", code(*answer.required), code(*answer.optional), ", ".join(lists)])
    return table(("answer to", "required", "optional", "list"), rows)


KIND_FORMS: Final = {
    "integer": "`-?` and 1 to 15 digits, without leading zeros",
    "decimal": "an integer, or one with a point and 1 to 17 digits behind it",
    "flag": "`true` or `false`",
    "time": "`YYYY-MM-DDThh:mm:ss`, 0 to 6 fraction digits, `Z`; from 1970 on",
}


def kinds() -> str:
    by_kind: dict[str, list[str]] = {kind: [] for kind in KIND_FORMS}
    for key, kind in tokens._KIND_OF.items():
        by_kind[kind].append(key)
    rows = [[kind, KIND_FORMS[kind], code(*keys)] for kind, keys in by_kind.items()]
    rows.append(["text", "any Unicode text", "all others"])
    return table(("kind", "form", "tokens"), rows)


def patterns() -> str:
    rows = []
    for key, (allowed, shortest, longest) in tokens._PATTERNS.items():
        length = f"{shortest}" if shortest == longest else f"{shortest}–{longest}"
        rows.append([f"`{key}`", f"`{character_class(allowed)}`", length])
    return table(("token", "characters", "length"), rows)


def character_class(allowed: str) -> str:
    """The characters as a class of a regular expression."""
    shown = allowed
    for run, short in (
        ("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "A-Z"),
        ("abcdefghijklmnopqrstuvwxyz", "a-z"),
        ("0123456789", "0-9"),
        ("abcdef", "a-f"),
    ):
        shown = shown.replace(run, short)
    return f"[{shown}]"


ERROR_MEANINGS: Final = {
    "MALFORMED": "not a message, or one that does not belong here",
    "MISSING_TOKEN": "required tokens are absent; `ERR3` lists them",
    "TIMESTAMP_INVALID": "`TS` is more than 300 s away from the server's time",
    "UNAUTHORIZED": "the one-time token, the whitelist or an administrator's signature says no",
    "SIG_INVALID": "the signature does not verify",
    "NONCE_REUSE": "this device has used this nonce before",
    "REVOKED": "the device has been revoked",
    "DEVICE_NOT_FOUND": "no such device is registered",
    "NOT_FOUND": "no such operation, command or release",
    "METHOD_NOT_ALLOWED": "the operation takes another HTTP method",
    "DEVICE_ALREADY_REGISTERED": "the id is registered with another key",
    "TOO_LARGE": "the request is larger than the operation allows",
    "RATE_LIMIT": "too many requests; `RTY` says when to come back",
    "INTERNAL": "the server failed",
    "UNAVAILABLE": "the server cannot reach its database",
}


def error_codes() -> str:
    rows = [[f"`{code}`", f"{status}", ERROR_MEANINGS[code]] for code, status in statuses()]
    return table(("`ERR1`", "status", "meaning"), rows)


def statuses() -> Iterable[tuple[str, int]]:
    yield from schema.STATUS.items()


COMMAND_EFFECTS: Final = {
    "RESTART": "restart through stage 0; acknowledged after the restart",
    "FETCH_LOGS": "upload the log from `LEVEL` up and from `SINCE` on; `ACK2` is the upload's id",
    "APPLY_CONFIG": "try a new configuration; it needs at least one field",
    "WIPE": "erase what the terminal holds, then go dormant; `FORCE` is for unacknowledged punches",
    "REVOKE": "the same, for a terminal that must not work any more",
    "ROTATE_DEVICE_KEY": "make a new device key and have the server take it",
    "TRUST_KEY": "trust `KEY` (base64 of 32 bytes) in `ROLE`: `server`, `release` or `admin`",
    "DISTRUST_KEY": "distrust `KEY` in `ROLE` for good; never the last key of a role",
    "HALT_UPDATES": "install no updates until told otherwise",
    "RESUME_UPDATES": "install updates again",
    "IDENTIFY": "show a person which terminal this is",
}


def commands() -> str:
    rows = []
    for name, command in schema.COMMANDS.items():
        fields = [f"**{code(key)}**" for key in command.required]
        fields += [code(key) for key in command.optional]
        signers = "server, two administrators" if command.two_admins else "server"
        if name == "TRUST_KEY":
            signers += "; a release key for role `release`; two administrators for role `admin`"
        days = f"{command.max_days} days" if command.max_days else "free"
        rows.append([f"`{name}`", " ".join(fields) or "none", signers, days, COMMAND_EFFECTS[name]])
    return table(("`CMD2`", "fields of `CMD3`", "signed by", "longest expiry", "effect"), rows)


def limits() -> str:
    small, large = schema.REQUESTS["heartbeat"], schema.REQUESTS["events"]
    rows = [
        ["request body", kib(small.max_body_bytes), kib(large.max_body_bytes)],
        ["tokens of a request, flattened", f"{small.max_tokens}", f"{large.max_tokens}"],
        ["rows of all lists together", f"{small.max_rows}", f"{large.max_rows}"],
        ["value", kib(tokens.VALUE_MAX_BYTES), kib(tokens.VALUE_MAX_BYTES)],
        ["answer", kib(tokens.ANSWER_MAX_BYTES), kib(tokens.ANSWER_MAX_BYTES)],
    ]
    return table(("at most", "any operation", "`events` and `logs`"), rows)


def kib(size: int) -> str:
    return f"{size // tokens.KIB} KiB"


def diagram(transitions: Mapping[tuple[str, str], str], first: str) -> str:
    """A state table as a Mermaid diagram; events between the same states share an arrow."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for (state, event), following in transitions.items():
        arrows.setdefault((state, following), []).append(event)
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {first}"]
    for (state, following), events in arrows.items():
        lines.append(f"    {state} --> {following}: {', '.join(events)}")
    left = {state for state, _ in transitions}
    lines += [
        f"    {end} --> [*]" for end in dict.fromkeys(transitions.values()) if end not in left
    ]
    return "\n".join([*lines, "```"])


def rollout_states() -> str:
    """What people do, from the server's own table, and what a rollout does by itself."""
    steps = {
        (state, name): following
        for name, (states, following) in rollout_engine.TRANSITIONS.items()
        for state in states
        if state != following or name == "promote"
    }
    steps["running", "last phase soaked, nobody online outstanding"] = "done"
    return diagram(steps, "draft")


def effect_table() -> str:
    rows = []
    for effect in (effects.Fetch, effects.Download, effects.Sleep, effects.Restart):
        fields = list(inspect.signature(effect).parameters)
        rows.append([f"`{effect.__name__}`", f'`"{effect.kind}"`', code(*fields)])
    return table(("effect", "`kind`", "fields"), rows)


def error_tree() -> str:
    text = inspect.getdoc(errors) or ""
    tree = [line[4:] for line in text.splitlines() if line.startswith("    ")]
    return "\n".join(["```text", *tree, "```"])


PARTS: Final[Mapping[str, Part]] = {
    "operations": operations,
    "answers": answers,
    "kinds": kinds,
    "patterns": patterns,
    "errors": error_codes,
    "commands": commands,
    "limits": limits,
    "life": lambda: diagram(life.TRANSITIONS, life.BLANK),
    "update": lambda: diagram(update_state.TRANSITIONS, update_state.IDLE),
    "rollout": rollout_states,
    "effects": effect_table,
    "error-tree": error_tree,
    **doc_examples.PARTS,
}
