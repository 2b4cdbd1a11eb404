"""What `benchmarks.cross_identity` says of a head that nods, and of one that only talks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from benchmarks.cross_identity import FROZEN, LIMITS, _requirements, frozen, frozen_figures, moves
from core.data.records import TrackedSequence
from core.evaluation.points import STABLE_POINTS, STABLE_TEMPLATE
from tests.faces import TRACK


def nodding(pitch: np.ndarray) -> np.ndarray:
    """(T, 478, 3): the mean face at these pitches in degrees."""
    points = np.zeros((len(pitch), 478, 3))
    for t, angle in enumerate(pitch):
        points[t, list(STABLE_POINTS)] = Rotation.from_euler("x", -angle, degrees=True).apply(100 * STABLE_TEMPLATE)
    return points


def test_expression_that_passes_for_a_nod_is_taken_out():
    time = np.linspace(0, 20, 60)
    nod, talk = 2 * np.sin(time), np.cos(3.3 * time)
    found = frozen_figures(nodding(nod), nodding(nod + talk), nodding(nod))
    assert found[FROZEN] == pytest.approx(1, abs=1e-6)
    assert found[moves("pitch")] == pytest.approx(nod.std() / talk.std(), rel=0.01)


def test_a_driver_that_moves_less_than_the_error_does_not_count():
    names = ("found", *LIMITS, FROZEN)
    good = dict.fromkeys(names, 1.0) | {moves("pitch"): 3.0}
    still = dict.fromkeys(names, 0.1) | {moves("pitch"): 0.5}
    rows = {row[0]: row for row in _requirements({"a": good, "b": still})}
    assert rows["pitch: mean"][1] == "1.000"
    assert rows["pitch, frozen: mean"][1] == "1.000"
    assert rows["mouth: mean"][1] == "0.550"


def test_frozen_keeps_the_head_and_nothing_else():
    track = TrackedSequence.load(TRACK)
    still = frozen(track)
    np.testing.assert_array_equal(still.transform_matrix, track.transform_matrix)
    np.testing.assert_array_equal(still.posecode[:, :3], track.posecode[:, :3])
    for codes in (still.expcode, still.posecode[:, 3:], still.eyecode):
        assert np.ptp(codes, 0).max() == 0
    assert np.ptp(track.expcode, 0).max() > 0
