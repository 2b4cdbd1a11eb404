"""The threads beside the main one: bounded, ended with their block, their errors raised."""

from __future__ import annotations

import threading
from contextlib import suppress

import cv2
import pytest

from core.runtime.threads import QueueSettings, WriteBehind, in_lanes, opencv_threads, read_ahead


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


def test_lanes_give_what_they_make_in_order_and_end_early():
    begun, at_once, most = [], 0, 0
    lock = threading.Lock()
    both = threading.Barrier(2, timeout=10)  # it opens only where two are under way at once

    def lane(item: int) -> int:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        both.wait()
        with lock:
            at_once -= 1
        return item * item

    taken = []
    items = (taken.append(i) or i for i in range(100))
    made = in_lanes(items, [lane, lane], lambda: begun.append(threading.get_ident()))
    assert [next(made) for _ in range(10)] == [i * i for i in range(10)]
    both.abort()
    made.close()
    assert len(taken) <= 14  # two ahead in each lane
    assert len(set(begun)) == most == 2


def test_an_error_in_a_lane_is_raised_in_its_place():
    made = in_lanes(range(9), [lambda i: 1 / (i - 5)] * 3, lambda: None)
    assert [next(made) for _ in range(5)] == [1 / (i - 5) for i in range(5)]
    with pytest.raises(ZeroDivisionError):
        next(made)


def test_opencv_takes_so_many_threads_for_a_while():
    before = cv2.getNumThreads()
    with suppress(KeyboardInterrupt), opencv_threads(1):
        assert cv2.getNumThreads() == 1
        raise KeyboardInterrupt
    assert cv2.getNumThreads() == before
