"""Streams of entries: in order, at least once, in batches of a size or an age, and with gaps told."""

import json
from dataclasses import dataclass
from typing import Any

from emulator.control.mqtt_streams import Stream, alert_place, journal_place
from emulator.control.ring import JournalEntry, Ring
from emulator.kernel.journal import Entry
from emulator.kernel.machine import Party


class Pen:
    """A ring that is written to."""

    def __init__(self, most: int = 1_000) -> None:
        self.ring = Ring(most)

    def write(self, count: int) -> None:
        for _ in range(count):
            self.ring.take(Entry(1_583_107_200_000_000, 4, Party.ELECTRICITY, "relay.opened", (b"\x0a", 2)))


def sent(stream: Stream) -> list[tuple[str, Any]]:
    """What a broker gets that takes everything at once."""
    found = []
    while stream.due(0.0) is not None:
        taken = stream.take()
        found += [(topic, json.loads(payload)) for topic, payload in taken.messages]
        stream.done(taken)
    return found


def test_one_by_one() -> None:
    """Every entry is a message of its own, on a topic that can be filtered by home, device and kind."""
    pen = Pen()
    pen.write(1)
    stream = Stream("journal", pen.ring, "root", journal_place)
    assert stream.due(0.0) is None, "what was before is nobody's news"
    pen.write(200)
    assert stream.due(0.0) == 0.0
    found = sent(stream)
    assert [entry["number"] for _, entry in found] == list(range(2, 202))
    assert {topic for topic, _ in found} == {"root/journal/4/electricity/relay/opened"}
    assert found[0][1]["detail"] == ["0a", 2]
    assert stream.published == 200


def test_batches_by_size_and_by_age() -> None:
    """A full batch goes at once, and one that is not full when it has waited long enough."""
    pen = Pen()
    stream = Stream("journal", pen.ring, "root", journal_place, batch=10, wait_s=0.5)
    pen.write(9)
    assert stream.due(100.0) == 0.5
    assert stream.due(100.2) == 0.5 - (100.2 - 100.0)
    pen.write(1)
    assert stream.due(100.2) == 0.0
    pen.write(13)
    found = sent(stream)
    assert [(m["first"], m["last"], len(m["entries"])) for _, m in found] == [(1, 10, 10), (11, 20, 10), (21, 23, 3)]
    assert {topic for topic, _ in found} == {"root/batch/journal"}
    pen.write(1)
    assert stream.due(200.0) == 0.5, "the age counts anew"
    assert stream.due(200.5) == 0.0


def test_what_is_not_acknowledged_is_sent_again() -> None:
    """A broker that dies on the way gets nothing taken off: the next one gets it all."""
    pen = Pen()
    stream = Stream("journal", pen.ring, "root", journal_place)
    pen.write(3)
    lost = stream.take()
    pen.write(1)
    again = stream.take()
    assert [topic for topic, _ in lost.messages] == [topic for topic, _ in again.messages[:3]]
    assert len(again.messages) == 4
    assert stream.waiting == 4
    stream.done(again)
    assert stream.due(0.0) is None


def test_gaps_are_counted_and_told() -> None:
    """What fell out of the source while no broker was there is told first, with how many there were ever."""
    for batch in (0, 8):
        pen = Pen(most=20)
        stream = Stream("journal", pen.ring, "root", journal_place, batch=batch)
        pen.write(50)
        found = sent(stream)
        assert found[0] == ("root/missed", {"stream": "journal", "missed": 30, "until": 30, "dropped": 30})
        entries = [e for _, m in found[1:] for e in m.get("entries", [m])]
        assert [entry["number"] for entry in entries] == list(range(31, 51))
        assert (stream.dropped, stream.published) == (30, 20)
        pen.write(25)
        assert sent(stream)[0][1] == {"stream": "journal", "missed": 5, "until": 55, "dropped": 35}


def test_places() -> None:
    """Kinds become levels; an alert of a device nobody knows has a place too."""
    entry = JournalEntry(1, 0, "", 12, "hub", "hub.awake", [])
    assert journal_place(entry) == "journal/12/hub/hub/awake"

    @dataclass
    class Alert:
        installation: int
        device: str | None

    assert alert_place(Alert(7, "gas")) == "alert/7/gas"
    assert alert_place(Alert(7, None)) == "alert/7/unknown"
