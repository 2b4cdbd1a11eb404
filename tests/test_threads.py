"""The threads beside the main one: bounded, ended with their block, their errors raised."""

from __future__ import annotations

import threading

import pytest

from core.runtime.threads import QueueSettings, WriteBehind, read_ahead


def test_read_ahead_is_bounded_and_closes_its_source():
    made, closed = [], threading.Event()

    def source():
        try:
            for i in range(100):
                made.append(i)
                yield i
        finally:
            closed.set()

    ahead = read_ahead(source(), QueueSettings(depth=2))
    assert [next(ahead) for _ in range(3)] == [0, 1, 2]
    ahead.close()
    assert len(made) <= 7
    assert closed.is_set()
    assert list(read_ahead(iter(range(50)), QueueSettings(depth=3))) == list(range(50))


def test_write_behind_raises_what_the_writer_raised():
    def consume(items):
        for item in items:
            if item == 2:
                raise OSError("disk full")

    def feed():
        with WriteBehind(consume, QueueSettings(depth=1)) as behind:
            for i in range(1000):
                behind.put(i)

    with pytest.raises(OSError, match="disk full"):
        feed()
