"""How a rollout looks: in one line for a log, as a few lines, as a live picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ks_agent import timetext
from ks_simulator.admin_rollouts import BAD_STATES, DEVICE_STATES, ENDED

from .asking import printable

if TYPE_CHECKING:
    from rich.console import Group
    from rich.text import Text

BUCKETS = 10_000
BAR_CELLS = 40
SHOWN_TROUBLES = 8

_STYLES = {
    "updated": "green",
    "offered": "cyan",
    "downloading": "cyan",
    "postponed": "yellow",
    "halted": "yellow",
    "offline": "yellow",
    "rolled_back": "red",
    "failed": "red",
    "penalty": "red",
    "running": "bold cyan",
    "paused": "bold yellow",
    "aborted": "bold red",
    "revoked": "bold red",
    "done": "bold green",
}

Rollout = Mapping[str, Any]


def headline(rollout: Rollout) -> str:
    """`rollout 3: app-1.1.0, version 1.1.0, aborted: why`."""
    reason = f": {printable(rollout['reason'])}" if rollout["reason"] else ""
    version = printable(rollout["fw2"])
    return f"rollout {rollout['id']}: {rollout['fw1']} {version}, {rollout['state']}{reason}"


def phase_text(rollout: Rollout) -> str:
    """`1 of 4, 2 %`; nothing of one that has not begun."""
    phase, phases = rollout["phase"], rollout["phases"]
    if rollout["started"] is None:
        return ""
    return f"{phase + 1} of {len(phases)}, {phases[phase]:g} %"


def buckets_text(share: float) -> str:
    """The buckets of the devices in a phase of so many percent."""
    return f"buckets 0-{max(round(share * BUCKETS / 100) - 1, 0)}"


def counts_text(counts: Mapping[str, int]) -> str:
    """`3 updated, 1 rolled back of 20`, the states without a device left out."""
    named = [
        f"{counts[state]} {state.replace('_', ' ')}" for state in DEVICE_STATES if counts.get(state)
    ]
    return f"{', '.join(named) or 'nobody'} of {counts.get('targeted', 0)}"


def share_text(rollout: Rollout) -> str:
    """The failure share, and at which it is aborted."""
    share = rollout["failure_share"] or 0
    shown = f"{share:.3g} % of {rollout['attempts']}" if rollout["attempts"] else "no attempts"
    limits = [f"{rollout['abort_share']:g} % of {rollout['abort_min']} or more"]
    if rollout["abort_count"] is not None:
        limits.append(f"{rollout['abort_count']} failures")
    return f"failure share {shown} (aborts at {' or '.join(limits)})"


def soak_left_s(rollout: Rollout, now_ms: int) -> int | None:
    """Seconds until the phase has soaked, not below 0; None where no clock runs."""
    started = rollout["phase_started"]
    if rollout["state"] != "running" or not started:
        return None
    end_ms: int = timetext.parse_ms(started) + rollout["soak_s"] * 1000
    return max(-(-(end_ms - now_ms) // 1000), 0)


def soak_text(rollout: Rollout, now_ms: int) -> str:
    """What comes next, and when."""
    left_s = soak_left_s(rollout, now_ms)
    if left_s is None:
        return ""
    if rollout["phase"] + 1 == len(rollout["phases"]):
        return "done once each of its devices has ended"
    then = f"{rollout['phases'][rollout['phase'] + 1]:g} % are next"
    if not rollout["automatic"]:
        return f"promotion by hand, then {then}"
    return f"{then} in {duration_text(left_s)}" if left_s else f"soaked, {then} once all is well"


def duration_text(seconds: int) -> str:
    """`45 s`, `12:05 min`, `3:20:00 h`."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes_left = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes_left:02}:{rest:02} h"
    return f"{minutes}:{rest:02} min" if minutes else f"{rest} s"


def line(rollout: Rollout) -> str:
    """All that changes but the clock, in one line."""
    phase = phase_text(rollout)
    parts = [headline(rollout), f"phase {phase}" if phase else "", counts_text(rollout["counts"])]
    return "; ".join(part for part in (*parts, share_text(rollout)) if part)


def lines(rollout: Rollout, now_ms: int) -> list[str]:
    """All that there is to know, for `show`."""
    shown = [headline(rollout)]
    phases = " -> ".join(_phase_words(rollout))
    shown.append(f"phases   {phases}")
    if phase := phase_text(rollout):
        shown.append(f"phase    {phase}, since {rollout['phase_started']}")
    shown.append(f"devices  {counts_text(rollout['counts'])}")
    shown.append(f"filter   {filter_text(rollout.get('filter') or {})}")
    shown.append(f"limits   {share_text(rollout)}, penalty after {rollout['penalty']}")
    if rollout["downloads_at_once"] is not None:
        shown.append(f"         {rollout['downloads_at_once']} downloads at once")
    if soak := soak_text(rollout, now_ms):
        shown.append(f"next     {soak}")
    return shown


def filter_text(chosen: Mapping[str, Sequence[str] | None]) -> str:
    """`types ESP32_TERMINAL; sites berlin, bonn`."""
    named = [f"{name} {', '.join(values)}" for name, values in chosen.items() if values]
    return printable("; ".join(named)) or "every device of the release's types"


def _phase_words(rollout: Rollout) -> list[str]:
    """Each phase with what has become of it: done `✓`, current `▸`, to come."""
    current = -1 if rollout["started"] is None else rollout["phase"]
    words = []
    for number, share in enumerate(rollout["phases"]):
        if number < current or rollout["state"] == "done":
            mark = "✓ "
        elif number == current:
            mark = "✗ " if rollout["state"] in ENDED else "▸ "
        else:
            mark = ""
        words.append(f"{mark}{share:g} %")
    return words


def picture(rollout: Rollout, troubles: Sequence[Mapping[str, Any]], now_ms: int) -> Group:
    """The live view: phases, states as bars, failure share, what comes next, who has trouble."""
    from rich.console import Group
    from rich.text import Text

    state = str(rollout["state"])
    parts = [Text(headline(rollout), style=_STYLES.get(state, "bold")), _phases(rollout)]
    parts += _bars(rollout["counts"])
    is_bad = any(rollout["counts"].get(name) for name in BAD_STATES)
    parts.append(Text(share_text(rollout), style="red" if is_bad else ""))
    if soak := soak_text(rollout, now_ms):
        parts.append(Text(f"next: {soak}"))
    for one in troubles[:SHOWN_TROUBLES]:
        parts.append(Text(trouble_text(one), style=_STYLES.get(str(one["state"]), "")))
    if len(troubles) > SHOWN_TROUBLES:
        parts.append(Text(f"and {len(troubles) - SHOWN_TROUBLES} more: ks rollout devices"))
    return Group(*parts)


def trouble_text(device: Mapping[str, Any]) -> str:
    """One device in trouble."""
    detail = device["detail"]
    told = f": {printable(detail)}" if detail else ""
    state = str(device["state"]).replace("_", " ")
    return f"  {device['d1']} (bucket {device['bucket']}) {state}{told}"


def _phases(rollout: Rollout) -> Text:
    from rich.text import Text

    shown = Text("phases  ")
    current = -1 if rollout["started"] is None else rollout["phase"]
    for number, word in enumerate(_phase_words(rollout)):
        is_current = number == current
        buckets = f" ({buckets_text(rollout['phases'][number])})" if is_current else ""
        shown.append(word + buckets, style="bold" if is_current else "dim")
        shown.append("   ")
    return shown


def _bars(counts: Mapping[str, int]) -> list[Text]:
    from rich.text import Text

    total = max(counts.get("targeted", 0), 1)
    bars = []
    for state in DEVICE_STATES:
        count = counts.get(state, 0)
        cells = min(-(-count * BAR_CELLS // total), BAR_CELLS)
        bar = Text(f"{state.replace('_', ' '):>12} {count:6}  ")
        bar.append("█" * cells, style=_STYLES.get(state, "dim"))
        bars.append(bar)
    return bars
