"""A first run says that it compiles; a later one, which loads what was compiled, does not."""

from __future__ import annotations

import numba

from core.runtime.compiling import told_when_compiling


def test_compiling_is_said_once_and_only_where_it_happens():
    said: list[str] = []
    kernels = [numba.njit(lambda x, k=k: x + k) for k in range(3)]
    with told_when_compiling(said.append, patience=0):
        assert not said
        assert [kernel(1) for kernel in kernels] == [1, 2, 3]
    assert said == ["compiling kernels: slow only the first time"]
    with told_when_compiling(said.append, patience=0):
        assert kernels[2](1) == 3
    assert len(said) == 1


def test_what_is_quick_is_not_said():
    said: list[str] = []
    with told_when_compiling(said.append, patience=60):
        assert numba.njit(lambda x: 2 * x)(4) == 8
    assert not said
