"""Where torch computes: how many threads it takes, and the way to a GPU and back without waiting for it.

A plain copy holds the program until everything queued on a GPU is done. On a CPU what is given is passed on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Have torch take so many threads for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def upload(values: Tensor, device: torch.device) -> Tensor:
    """The tensor on a device. To CUDA it goes by way of pinned memory, which torch keeps until the copy is made."""
    if device.type != "cuda" or values.device.type != "cpu":
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)


def on_host(pictures: Iterable[Tensor]) -> Iterator[Tensor]:
    """The same pictures in the host's memory.

    A picture on a GPU is on its way while the next one is drawn, so that it comes when that one has been asked for.
    """
    pending: _Copy | None = None
    for picture in pictures:
        if picture.device.type != "cuda":
            yield picture
            continue
        copy = _Copy(picture)
        if pending is not None:
            yield pending.wait()
        pending = copy
    if pending is not None:
        yield pending.wait()


class _Copy:
    """A copy into pinned memory that is under way."""

    def __init__(self, picture: Tensor) -> None:
        self._here = torch.empty_like(picture, device="cpu", pin_memory=True)  # laid out alike: a plain copy
        self._here.copy_(picture, non_blocking=True)
        self._done = torch.cuda.Event()
        self._done.record(torch.cuda.current_stream(picture.device))

    def wait(self) -> Tensor:
        self._done.synchronize()
        return self._here
