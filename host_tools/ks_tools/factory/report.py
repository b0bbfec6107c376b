"""The report at the end of a shift: yield, retries, times, failures by step; JSON and HTML."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from html import escape
from typing import Any, Final

from .inventory import retries_of, time_text
from .steps import DONE, NAMES, REJECT
from .store import Store, now_ms

BAR_PX: Final = 360
ROW_PX: Final = 26
NAME_PX: Final = 110


def make_report(store: Store, since_ms: int = 0) -> dict[str, Any]:
    """What has happened since then, as JSON can say it."""
    attempts = [each for each in store.attempts() if each["begun_ms"] >= since_ms]
    units = [unit for unit in store.units() if unit.changed_ms >= since_ms]
    finished = [unit for unit in units if unit.state in (DONE, REJECT)]
    passed = [unit for unit in finished if unit.state == DONE]
    first = [unit for unit in passed if not retries_of(attempts)[(unit.mac, unit.chip)]]
    return {
        "made": time_text(now_ms()),
        "since": time_text(since_ms) if since_ms else "",
        "units": len(units),
        "done": len(passed),
        "rejects": len(finished) - len(passed),
        "in_work": len(units) - len(finished),
        "yield": _share(len(passed), len(finished)),
        "first_pass_yield": _share(len(first), len(finished)),
        "retries": sum(retries_of(attempts).values()),
        "unit_seconds": _times([_took_s(attempts, unit.mac, unit.chip) for unit in passed]),
        "steps": _steps(attempts),
        "stations": _by(attempts, "station"),
        "operators": _by(attempts, "operator"),
        "rejected": [
            {"unit": unit.name, "mac": unit.mac, "step": unit.step, "reason": unit.reason}
            for unit in units
            if unit.state == REJECT
        ],
    }


def _steps(attempts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    times: dict[str, list[float]] = defaultdict(list)
    outcomes: Counter[tuple[str, str]] = Counter()
    for attempt in attempts:
        outcomes[(attempt["step"], attempt["outcome"])] += 1
        if attempt["outcome"] == "done":
            times[attempt["step"]].append((attempt["ended_ms"] - attempt["begun_ms"]) / 1000)
    return [
        {
            "step": name,
            "done": outcomes[(name, "done")],
            "failed": outcomes[(name, "failed")],
            "interrupted": outcomes[(name, "interrupted")],
            "seconds": _times(times[name]),
        }
        for name in NAMES
    ]


def _took_s(attempts: list[dict[str, Any]], mac: str, chip: str) -> float:
    own = [each for each in attempts if (each["mac"], each["chip"]) == (mac, chip)]
    took_ms = [int(each["ended_ms"] or each["begun_ms"]) - each["begun_ms"] for each in own]
    return float(sum(took_ms)) / 1000


def _times(seconds: list[float]) -> dict[str, float]:
    if not seconds:
        return {}
    return {
        "median": round(statistics.median(seconds), 2),
        "longest": round(max(seconds), 2),
    }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _by(attempts: list[dict[str, Any]], column: str) -> dict[str, int]:
    """Units that were finished, by who or where."""
    return dict(
        Counter(
            each[column] or "-"
            for each in attempts
            if each["step"] == NAMES[-1] and each["outcome"] == "done"
        )
    )


def as_html(report: dict[str, Any], title: str) -> str:
    """One page by itself: no scripts, nothing from elsewhere."""
    shown = {
        "Units": report["units"],
        "Done": report["done"],
        "Rejects": report["rejects"],
        "In work": report["in_work"],
        "Yield": _percent(report["yield"]),
        "Yield without a retry": _percent(report["first_pass_yield"]),
        "Retries": report["retries"],
        "Seconds a unit (median)": report["unit_seconds"].get("median", "-"),
    }
    facts = "".join(f"<dt>{escape(k)}</dt><dd>{escape(str(v))}</dd>" for k, v in shown.items())
    rejected = "".join(
        f"<tr><td>{escape(row['unit'])}</td><td>{escape(row['step'])}</td>"
        f"<td>{escape(row['reason'])}</td></tr>"
        for row in report["rejected"]
    )
    failures = [(row["step"], row["failed"] + row["interrupted"]) for row in report["steps"]]
    times = [(row["step"], row["seconds"].get("median", 0.0)) for row in report["steps"]]
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style>"
        f"<h1>{escape(title)}</h1><p>Made {report['made']}"
        f"{', since ' + report['since'] if report['since'] else ''}</p><dl>{facts}</dl>"
        f"<h2>Failed and interrupted, by step</h2>{chart(failures, '#b3261e')}"
        f"<h2>Seconds a step takes (median)</h2>{chart(times, '#1f5fa8')}"
        f"<h2>Rejects</h2><table><tr><th>unit</th><th>after</th><th>reason</th></tr>{rejected}"
        "</table></html>\n"
    )


_STYLE: Final = (
    "body{font:16px sans-serif;margin:2em;max-width:60em}dl{display:grid;"
    "grid-template-columns:max-content auto;gap:.2em 1em}dd{margin:0;font-weight:bold}"
    "td,th{text-align:left;padding:.2em 1em .2em 0}svg text{font:14px sans-serif}"
)


def chart(rows: list[tuple[str, float]], colour: str) -> str:
    """Bars as SVG."""
    most = max([value for _, value in rows], default=0) or 1
    bars = []
    for place, (name, value) in enumerate(rows):
        width, y = round(BAR_PX * value / most), place * ROW_PX
        bars.append(
            f'<text x="0" y="{y + 17}">{escape(name)}</text>'
            f'<rect x="{NAME_PX}" y="{y + 4}" width="{width}" height="18" fill="{colour}"/>'
            f'<text x="{NAME_PX + width + 6}" y="{y + 17}">{value:g}</text>'
        )
    height, width = len(rows) * ROW_PX, NAME_PX + BAR_PX + 80
    return f'<svg width="{width}" height="{height}" role="img">{"".join(bars)}</svg>'


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share * 100:.1f} %"
