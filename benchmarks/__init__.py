"""Benchmarks. `core` comes first: it says how many threads the libraries take, before they are loaded."""

import core  # noqa: F401
