"""What the best filter of its kind would gain: filters that are fitted to the truth, which no improvement knows.

No smoothing and no constant correction of a poor track, and no sharpening of a poor photo by one filter, can be
expected to gain more. Where this is little, the rest is no longer in the poor track or picture in a form that filtering
brings back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from core.data.records import TrackedSequence, TrackedSource
from core.libs.filters.motion_path import motion_path
from core.libs.retargeting.pose import without_offset

_SMOOTHED = ("expcode", "posecode", "eyecode", "transform_matrix")


@dataclass(frozen=True)
class OracleSettings:
    """Of the filters that are tried.

    Attributes:
        widths: frames, standard deviations of the Gaussians over time that each number of a track may have.
        taps: pixels of a photo's filter, to either side. ridge: by how much its taps are held small, over the mean
            energy of the pixels.
    """

    widths: tuple[float, ...] = (0.0, 0.5, 0.8, 1.2, 1.8, 2.7, 4.0, 6.0, 9.0, 14.0)
    taps: int = 4
    ridge: float = 1e-4


_SETTINGS = OracleSettings()


def best_smoothing(
    track: TrackedSequence, clean: TrackedSequence, settings: OracleSettings = _SETTINGS
) -> TrackedSequence:
    """A track, each of its numbers smoothed over time by the Gaussian that brings it nearest the clean one's motion,
    and without the offset from the clean one that it has on the mean.

    Rotations are smoothed along their path (`core.libs.filters.motion_path`); the head's offset is that of its turn
    about the camera's axes and of its place.
    """
    found = {}
    for name in _SMOOTHED:
        path, true = motion_path(name, getattr(track, name)), motion_path(name, getattr(clean, name))
        goal = true.columns - true.columns.mean(0)
        tried = [_smoothed(path.columns, width) for width in settings.widths]
        errors = np.array([np.square(one - one.mean(0) - goal).sum(0) for one in tried])
        best = np.choose(errors.argmin(0), tried)
        found[name] = path.restore(best - path.columns).astype(np.float32)
        if name != "transform_matrix":
            found[name] += (getattr(clean, name) - found[name]).mean(0)
    return _centred(track.with_parameters(found), clean)


def _centred(track: TrackedSequence, clean: TrackedSequence) -> TrackedSequence:
    """The track with its poses where the clean one's are on the mean."""
    poses, true = track.transform_matrix.astype(np.float64), clean.transform_matrix.astype(np.float64)
    turns = np.swapaxes(true[..., :3], 1, 2) @ poses[..., :3]
    seen = np.concatenate([Rotation.from_matrix(turns).mean().as_matrix(), (poses - true)[..., 3:].mean(0)], 1)
    return without_offset(track, np.eye(3, 4), seen)


def _smoothed(columns: np.ndarray, width: float) -> np.ndarray:
    return columns if width == 0 else gaussian_filter1d(columns, width, axis=0, mode="nearest")


def best_filter(poor: TrackedSource, clean: TrackedSource, settings: OracleSettings = _SETTINGS) -> TrackedSource:
    """A photo through the linear filter, one for each colour, that brings the person in it nearest the clean photo.

    Both show the same crop. By least squares over the pixels of the person.
    """
    inside = (clean.matte > 0.5) & poor.inside
    pixels = np.stack([_fitted(poor.image[..., c], clean.image[..., c], inside, settings) for c in range(3)], -1)
    return replace(poor, image=np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


def _fitted(poor: np.ndarray, clean: np.ndarray, inside: np.ndarray, settings: OracleSettings) -> np.ndarray:
    """One colour (S, S), float64."""
    reach = settings.taps
    padded = np.pad(poor.astype(np.float32), reach, mode="edge")
    side = 2 * reach + 1
    shifts = [padded[y : y + poor.shape[0], x : x + poor.shape[1]] for y in range(side) for x in range(side)]
    rows = np.stack([shift[inside] for shift in shifts], 1).astype(np.float64)
    normal = rows.T @ rows
    centre = np.zeros(len(shifts))
    centre[len(shifts) // 2] = 1
    ridge = settings.ridge * np.trace(normal) / len(shifts)
    # Held to the photo as it is, not to nothing
    taps = np.linalg.solve(
        normal + ridge * np.eye(len(shifts)), rows.T @ clean[inside].astype(np.float64) + ridge * centre
    )
    return np.einsum("k,kyx->yx", taps, np.stack(shifts), dtype=np.float64)
