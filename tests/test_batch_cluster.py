"""A batch on a Ray cluster of two nodes on this machine, of which one is killed in the middle."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from batch_parts import make, tracked, write_inputs

from core.batch import Here, JobResult, LoadedModels, Manifest, run
from core.batch.command import main
from core.batch.plan import Planner
from core.errors import UserError
from core.options import Options

ray = pytest.importorskip("ray", reason="Ray is not installed (pip install .[cluster])")
FRAMES = 6


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("cluster")
    write_inputs(folder, photos=3, drivers=2, frames=FRAMES)
    return folder


@pytest.fixture(scope="module")
def nodes(inputs) -> Iterator[Any]:
    """A head without room for tasks, and two nodes with room for one each."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", f"{Path(__file__).parent}:{Path(__file__).parents[1]}")
        patch.setenv("BATCH_TEST_HOLD", str(inputs / "hold"))
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        cluster.add_node(num_cpus=1)
        cluster.add_node(num_cpus=1)
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        try:
            yield cluster
        finally:
            ray.shutdown()
            cluster.shutdown()


def planned(inputs: Path, out: Path):
    photos, drivers = sorted((inputs / "photos").iterdir()), sorted((inputs / "drivers").iterdir())
    return Planner(out, Options(layout="result")).product(photos, drivers)


def results(inputs: Path, out: Path, executor, split: int = 0) -> list[JobResult]:
    with Manifest(out) as manifest:
        jobs = [manifest.known(job) for job in planned(inputs, out)]
        given = {"manifest": manifest, "split": split, "may_split": lambda job: True}
        return list(run(jobs, executor, **given))


@pytest.fixture(scope="module")
def expected(inputs) -> dict[str, str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(inputs / "cache"))
        done = results(inputs, inputs / "here", Here(LoadedModels(make=make)))
    for name in ("photos", "drivers"):
        (inputs / f"{name}.seen").unlink()
    return {result.job.shown: result.digest for result in done}


def cluster(cache: Path | None):
    from core.batch.cluster import Cluster

    return Cluster("", mib=300, make=make, cache=cache, connected=True)


def kill_a_busy_node(nodes: Any, hold: Path, killed: list[str]) -> None:
    """Wait until somebody is in the middle of a run, kill its node, and let the others go on."""
    while not (held := list(hold.parent.glob("hold.*"))):
        time.sleep(0.05)
    busy = held[0].suffix[1:]
    for node in list(nodes.worker_nodes):
        raylet = node.all_processes["raylet"][0].process.pid
        if busy in Path(f"/proc/{raylet}/task/{raylet}/children").read_text().split():
            killed.append(busy)
            nodes.remove_node(node, allow_graceful=False)
            with suppress(ProcessLookupError):  # with its machine a process ends at once, without its raylet not quite
                os.kill(int(busy), signal.SIGKILL)
    hold.unlink()


def test_files_travel_by_the_object_store_and_pieces_too(inputs, nodes, expected, tmp_path):
    done = results(inputs, tmp_path / "out", cluster(None), split=4)
    assert [result.error for result in done] == [""] * 6
    assert {result.job.shown: result.digest for result in done} == expected
    for result in done:
        assert result.output.parent == tmp_path / "out"
    assert not tracked(inputs / "photos")  # its own copies were


def test_a_node_is_killed_in_the_middle(inputs, nodes, expected, tmp_path):
    """Every file is there at the end and right, none was done twice, and tracks are made once."""
    out = tmp_path / "out"
    hold, killed = inputs / "hold", []
    hold.touch()
    killer = threading.Thread(target=kill_a_busy_node, args=(nodes, hold, killed))
    killer.start()
    done = results(inputs, out, cluster(tmp_path / "tracks"))
    killer.join()
    assert killed
    assert sorted(result.job.shown for result in done) == sorted(expected)
    assert {result.job.shown: result.digest for result in done} == expected
    assert 2 <= max(result.attempts for result in done) <= 3
    again = results(inputs, out, cluster(tmp_path / "tracks"))
    assert {result.state for result in again} == {"kept"}
    assert set(tracked(inputs / "photos")) == {"p1.png", "p2.png", "p3.png"}
    assert not list(out.glob(".*.part"))


def test_an_address_where_no_ray_listens_is_one_line(inputs, tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
    start = time.monotonic()
    for wrong in (address, "nowhere", "127.0.0.1:x"):
        given = ["-i", str(inputs / "photos"), "-d", str(inputs / "drivers"), "-o", str(tmp_path / "out")]
        with pytest.raises(UserError, match="no Ray cluster answers at"):
            main([*given, "--ray", wrong])
    assert time.monotonic() - start < 20
    for extra in (["--ray-objects"], ["--ray", "auto", "--workers", "2"]):
        with pytest.raises(UserError, match="--ray"):
            main([*given, *extra])
