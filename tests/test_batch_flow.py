"""Batches: whatever happens to workers every job ends once; and what holds a large batch up, simulated."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from benchmarks._batch_simulation import Costs, Simulated, bottleneck, divided, simulate
from core.batch import Job, Watch
from core.batch.flow import Flow
from core.batch.job import Event, Outcome
from core.batch.settings import BatchSettings
from core.options import Options


class Unreliable:
    """Loses and fails tasks by chance; what it is asked must be what may be asked."""

    alone = False

    def __init__(self, chance: random.Random, capacity: int) -> None:
        self.chance, self.capacity = chance, capacity
        self.under_way: list = []
        self.good: set[str] = set()
        self.given: list[str] = []

    def submit(self, task) -> None:
        assert len(self.under_way) < self.capacity
        assert task.needs <= self.good
        self.given.append(task.key)
        self.under_way.append(task)

    def events(self):
        task = self.under_way.pop(self.chance.randrange(len(self.under_way)))
        fate = self.chance.random()
        if fate < 0.2:
            yield Event(task.key, "lost", "gone")
            return
        error = "no" if fate < 0.35 else ""
        if not error:
            self.good.add(task.key)
        yield Event(task.key, "progress", 0.5)
        yield Event(task.key, "ended", Outcome(task.key, error=error, frames=10))

    def close(self) -> None:
        pass


@pytest.mark.parametrize("seed", range(30))
def test_whatever_happens_every_job_ends_once(seed):
    chance = random.Random(seed)
    pairs = [(f"p{i}.png", f"d{j}.mp4") for i in range(4) for j in range(5)]
    jobs = [Job(Options(p, d, output=f"out/{d}_{p}.mp4"), f"{d}_{p}") for p, d in pairs]
    executor = Unreliable(chance, capacity=chance.randint(1, 4))
    results = list(Flow(jobs, executor, Watch(), split=chance.choice([0, 4]), may_split=lambda job: True).results())
    assert sorted(result.job.shown for result in results) == sorted(job.shown for job in jobs)
    assert max(executor.given.count(key) for key in executor.given) <= BatchSettings().attempts
    assert {result.error for result in results} <= {"", "no", "gone (3 times)"}


def test_the_simulation_names_what_holds_a_batch_up():
    free = Costs(head=0, dispatch=0, start=0, job_bytes=0, storage=1e9)
    even = [10.0] * 40
    assert simulate(even, 4, free) == Simulated(100, 100, 0, 0, 0, 0)
    assert bottleneck(even, 4, free) == "work"
    assert bottleneck(even, 4, replace(free, head=5.0)) == "scheduler"
    assert simulate(even, 4, replace(free, head=5.0)).seconds == pytest.approx(40 * 5 + 10)  # one after the other
    assert bottleneck(even, 4, replace(free, job_bytes=5e9)) == "storage"
    assert simulate(even, 4, replace(free, job_bytes=5e9)).storage == pytest.approx(1, abs=0.01)
    assert simulate([*even, 100.0], 4, free).seconds == 200
    assert bottleneck([*even, 100.0], 4, free) == "stragglers"
    assert simulate(sorted([*even, 100.0], reverse=True), 4, free).seconds == 130  # 500 s of work on four, in tens
    assert simulate(divided([*even, 100.0], 10.0), 4, free).seconds == 130
    assert bottleneck(even[:4], 4, replace(free, start=20.0)) == "start"
