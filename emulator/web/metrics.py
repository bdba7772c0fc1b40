"""The estate in Prometheus's words: read when somebody scrapes, so that counting costs the engine nothing.

Only the doors' own requests are counted as they come. Labels are names that the code itself gives (kinds of journal
entries, directions, verbs); nothing a caller wrote becomes one.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from emulator.commands import Status
from emulator.control.desk import Desk
from emulator.control.wishes import status
from emulator.kernel.time import SECOND

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS: Final = (0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60, 600)


class Metrics:
    """All metrics of one app."""

    def __init__(self, desk: Desk) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "smets1_http_requests", "Requests answered, by verb and status", ("verb", "status"), registry=self._registry
        )
        self.seconds = Histogram(
            "smets1_http_seconds", "Real seconds until an answer", ("verb",), buckets=_BUCKETS, registry=self._registry
        )
        self._registry.register(_Estate(desk))

    def text(self) -> bytes:
        """The page."""
        return generate_latest(self._registry)


class _Estate(Collector):
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        desk = self._desk
        now = status(desk, Status())
        for name, about, value in (
            ("virtual_time_seconds", "Virtual time, seconds since 1970", now.clock.now / SECOND),
            ("speed", "Virtual seconds a real second", now.clock.speed),
            ("installations", "Installations of the estate", now.installations),
            ("cells", "Cells touched so far", now.cells),
            ("installations_awake", "Installations with something under way", now.awake),
            ("conversations", "Conversations of the emulator's own head end", now.conversations),
            ("tasks_running", "Tasks under way", now.tasks_running),
            ("faults_in_force", "Faults in force", now.faults),
            ("snapshots", "Snapshots in memory", len(desk.snapshots)),
        ):
            yield GaugeMetricFamily(f"smets1_{name}", about, value=value)
        yield CounterMetricFamily("smets1_exchanges", "Exchanges the link's delivery log counts", value=now.exchanges)
        yield CounterMetricFamily("smets1_faults_injected", "Faults ever put in force", value=desk.faults.injected)
        yield CounterMetricFamily("smets1_tasks", "Tasks ever begun", value=desk.tasks.last)
        link = CounterMetricFamily("smets1_link_packets", "Packets on the core link", labels=("direction", "outcome"))
        for direction, ways in now.link.items():
            for outcome, count in ways.items():
                link.add_metric((direction, outcome), count)
        yield link
        journal = CounterMetricFamily("smets1_journal_entries", "Journal entries, by kind", labels=("kind",))
        for kind, count in sorted(desk.ring.counts.items()):
            journal.add_metric((kind,), count)
        yield journal
        progress = desk.migration.progress() if desk.migration is not None and desk.migration.progress else None
        if progress is not None:
            homes = GaugeMetricFamily("smets1_migration_homes", "Homes of the last migration", labels=("state",))
            for name in ("waiting", "open", "auditing", "migrated", "failed", "unrecoverable", "audited", "astray"):
                homes.add_metric((name,), getattr(progress, name))
            yield homes
