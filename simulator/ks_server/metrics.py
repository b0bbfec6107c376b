"""Prometheus metrics of one app, in a registry of its own (several apps may share a process).

What fails before SIG1 writes nothing to the database (PROTOCOL section 3); here is where it shows.
No label holds what a stranger can choose: operations and codes come from the protocol's tables.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The counters; `render` is the answer of /metrics."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "ks_http_requests", "Answers by area and status", ["area", "status"],
            registry=self.registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "ks_http_request_seconds", "Time from request to answer", ["area"],
            buckets=_SECONDS, registry=self.registry,
        )  # fmt: skip
        self._operations = Counter(
            "ks_device_operations", "Accepted device requests", ["op"], registry=self.registry
        )
        self._refusals = Counter(
            "ks_device_refusals", "Refused device requests; signed=false: refused before SIG1",
            ["op", "code", "signed"], registry=self.registry,
        )  # fmt: skip
        self._events = Counter("ks_events", "Events announced", ["event"], registry=self.registry)
        self._punches = Counter(
            "ks_punches", "Punches by what became of them", ["result"], registry=self.registry
        )
        self._findings = Counter(
            "ks_punch_findings", "What was found wrong with journals", ["kind"],
            registry=self.registry,
        )  # fmt: skip
        # looking a child up by its labels takes longer than counting
        self._areas: dict[str, tuple[Histogram, dict[int, Counter]]] = {}
        self._accepted: dict[str, Counter] = {}
        self._announced: dict[str, Counter] = {}
        self.in_flight = 0
        Gauge(
            "ks_http_requests_in_flight", "Requests being answered", registry=self.registry
        ).set_function(lambda: self.in_flight)
        self.writer_queue = Gauge(
            "ks_writer_queue", "Jobs waiting for the database writer", registry=self.registry
        )
        self.writer_batch = Histogram(
            "ks_writer_batch_jobs", "Jobs committed by one transaction",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256), registry=self.registry,
        )  # fmt: skip

    def request(self, area: str, status: int, seconds: float) -> None:
        """One answer of any area: "devices", "admin", "health" or "other"."""
        known = self._areas.get(area)
        if known is None:
            known = self._areas[area] = (self._seconds.labels(area), {})
        duration, statuses = known
        counter = statuses.get(status)
        if counter is None:
            counter = statuses[status] = self._requests.labels(area, str(status))
        counter.inc()
        duration.observe(seconds)

    def accepted(self, op: str) -> None:
        """A device request that was done."""
        counter = self._accepted.get(op)
        if counter is None:
            counter = self._accepted[op] = self._operations.labels(op)
        counter.inc()

    def refused(self, op: str, code: str, signed: bool) -> None:
        """A device request refused with ERR1 `code`; `signed` is whether SIG1 had been verified.

        `op` is a name of schema.REQUESTS, or "unknown".
        """
        self._refusals.labels(op, code, "true" if signed else "false").inc()

    def event(self, name: str) -> None:
        """An event of hooks.EVENTS."""
        counter = self._announced.get(name)
        if counter is None:
            counter = self._announced[name] = self._events.labels(name)
        counter.inc()

    def punches(self, result: str, count: int) -> None:
        """Punches of a committed batch: accepted, duplicate, rejected or conflict."""
        if count:
            self._punches.labels(result).inc(count)

    def finding(self, kind: str) -> None:
        """A finding of one of the kinds of the table punch_findings."""
        self._findings.labels(kind).inc()

    def render(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self.registry)
