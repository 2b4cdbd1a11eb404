"""A function of one tensor recorded as a CUDA graph: one launch a frame in place of several hundred."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor

_log = logging.getLogger(__name__)

Recorder = Callable[[Callable[[], Tensor]], tuple[Callable[[], None], Tensor]]


class Graphed:
    """A function that is replayed for every input of the shape that it was recorded with.

    Args:
        run: the function. It may depend on nothing but its argument, and must not wait for the GPU.
        x: an input as all others will be. dtype: of the memory that inputs are copied to.
        record: makes what replays a call, and the memory that the replayed call writes its result to.
    """

    def __init__(
        self, run: Callable[[Tensor], Tensor], x: Tensor, dtype: torch.dtype, record: Recorder | None = None
    ) -> None:
        self._run = run
        with torch.inference_mode():
            self._input = torch.empty_like(x, dtype=dtype, memory_format=torch.channels_last).copy_(x)
            self._replay, self._output = (record or record_cuda)(lambda: run(self._input))

    @classmethod
    def or_plain(
        cls, run: Callable[[Tensor], Tensor], x: Tensor, dtype: torch.dtype, record: Recorder | None = None
    ) -> Self | Callable[[Tensor], Tensor]:
        """The function recorded, or as it is where it cannot be: the same pictures, slower."""
        try:
            return cls(run, x, dtype, record)
        except RuntimeError as error:  # torch's errors of CUDA are all of this kind
            _log.warning("no CUDA graph, frames are slower: %s", str(error).split("\n")[0])
            return run

    @torch.inference_mode()
    def __call__(self, x: Tensor) -> Tensor:
        """What `run` says, in memory of its own."""
        if x.shape != self._input.shape:
            return self._run(x)
        self._input.copy_(x)
        self._replay()
        return self._output.clone()


def record_cuda(run: Callable[[], Tensor], warm_up: int = 3) -> tuple[Callable[[], None], Tensor]:
    """`run` as a CUDA graph: what replays it, and the memory that it writes to.

    `warm_up`: runs before the recording, in which libraries choose their algorithms and make their workspaces; as many
    as torch's documentation of CUDA graphs takes.

    Raises:
        RuntimeError: it does what a graph cannot hold.
    """
    before = torch.cuda.current_stream()
    beside = torch.cuda.Stream()
    beside.wait_stream(before)
    with torch.cuda.stream(beside):
        for _ in range(warm_up):
            run()
    before.wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    try:
        # Other threads, which encode or decode, may go on using the GPU.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            output = run()
    finally:
        torch.cuda.set_stream(before)  # a recording that fails at its end leaves its own stream behind
    return graph.replay, output
