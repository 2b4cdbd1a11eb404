"""The directions in which faces differ and move: principal components of data, completed by harmonics of the mesh."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from core.libs.flame_model import topology as topo
from tools.open_head.alignment import mirrored
from tools.open_head.settings import BasisSettings

_SETTINGS = BasisSettings()


def expression_basis(
    moves: np.ndarray, template: np.ndarray, laplacian: sp.csr_matrix, settings: BasisSettings = _SETTINGS
) -> np.ndarray:
    """(478, 3, expressions). Whole-face directions first; each region then describes what those leave of it."""
    windows = _region_windows(template, settings)
    harmonics = _harmonics(laplacian, settings.harmonics)
    size = topo.N_POINTS
    out = np.zeros((size, 3, settings.expressions))
    start, stop = topo.REGIONS["global"]
    whole, deviation = _principal(moves, stop - start)
    out[..., start:stop] = (whole * deviation).reshape(size, 3, -1)
    flat = moves.reshape(len(moves), -1)
    rest = (flat - flat @ whole @ whole.T).reshape(moves.shape)
    for name in ("mouth", "eyes", "brows", "nose", "cheeks"):
        start, stop = topo.REGIONS[name]
        count, window = stop - start, windows[name]
        local = rest * window[None, :, None]
        # Data first, as far as it is more than the tracker's noise; then smooth fields under the window.
        n_data = round(settings.learned * count)
        directions, deviation = _principal(local, n_data)
        candidates = _fields(harmonics * window[:, None])
        candidates /= np.maximum(np.linalg.norm(candidates, axis=0), 1e-9)
        fill = _complete(directions, candidates, count - n_data, settings.outside)
        basis = np.concatenate([directions * deviation, fill * deviation[-1]], 1)
        out[..., start:stop] = basis.reshape(size, 3, -1)
        seen = rest.reshape(len(rest), -1)
        known = directions
        rest = (seen - seen @ known @ known.T).reshape(rest.shape)
    return out


def shape_basis(
    differences: np.ndarray, laplacian: sp.csr_matrix, mirror: np.ndarray, settings: BasisSettings = _SETTINGS
) -> np.ndarray:
    """(478, 3, shapes): how the observed faces differ, completed by smooth fields of falling size."""
    both = np.concatenate([differences, mirrored(differences, mirror)])
    n_data = settings.learned_shapes
    directions, deviation = _principal(both, n_data)
    candidates = _fields(_harmonics(laplacian, settings.shape_harmonics))
    fill = _complete(directions, candidates, settings.shapes - n_data, settings.outside)
    falling = deviation[-1] * (1 + np.arange(fill.shape[1]) / settings.falling) ** -1
    return np.concatenate([directions * deviation, fill * falling], 1).reshape(topo.N_POINTS, 3, settings.shapes)


def _region_windows(template: np.ndarray, settings: BasisSettings) -> dict[str, np.ndarray]:
    """A weight in 0..1 for every point and region: 1 on the region's points, fading over a fifth of the face."""
    groups = {
        "eyes": (*topo.RIGHT_EYE, *topo.LEFT_EYE),
        "mouth": (*topo.INNER_LIPS, *topo.OUTER_LIPS),
        "brows": (*topo.RIGHT_BROW, *topo.LEFT_BROW),
        "nose": topo.NOSE,
        "cheeks": (50, 280, 205, 425, 187, 411, 147, 376, 58, 288, 172, 397, 136, 365, 150, 379, 152, 192, 416),
    }
    out = {}
    for name, points in groups.items():
        distance = np.linalg.norm(template[:, None] - template[None, list(points)], axis=-1).min(1)
        window = np.exp(-0.5 * (distance / settings.reach[name]) ** 2)
        window[window < settings.faintest] = 0
        window[topo.N_FACE :] = 0
        out[name] = window
    return out


def _harmonics(laplacian: sp.csr_matrix, count: int) -> np.ndarray:
    """The `count` smoothest eigenvectors of the mesh, (478, count); signs fixed so that builds agree."""
    _, vectors = np.linalg.eigh(laplacian.toarray())
    vectors = vectors[:, :count]
    return vectors * np.sign(vectors[np.abs(vectors).argmax(0), np.arange(count)])


def _principal(moves: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Orthonormal directions (D, count) and their standard deviations, largest first."""
    flat = moves.reshape(len(moves), -1)
    values, vectors = np.linalg.eigh(flat.T @ flat / len(flat))
    order = np.argsort(values)[::-1][:count]
    vectors = vectors[:, order]
    vectors *= np.sign(vectors[np.abs(vectors).argmax(0), np.arange(count)])
    return vectors, np.sqrt(np.maximum(values[order], 0))


def _complete(basis: np.ndarray, candidates: np.ndarray, count: int, outside: float) -> np.ndarray:
    """Up to `count` orthonormal directions of the candidates' span outside that of `basis`, in the given order."""
    out: list[np.ndarray] = []
    for column in candidates.T:
        rest = column.copy()
        for _ in range(2):  # twice is enough (Kahan)
            for known in (basis, *([np.stack(out, 1)] if out else [])):
                rest -= known @ (known.T @ rest)
        norm = np.linalg.norm(rest)
        if norm > outside * np.linalg.norm(column):
            out.append(rest / norm)
        if len(out) == count:
            break
    return np.stack(out, 1)


def _fields(scalars: np.ndarray) -> np.ndarray:
    """Scalar fields (478, n) as displacement fields along each axis, (3 * 478, 3 n), smoothest first."""
    n = scalars.shape[1]
    out = np.zeros((len(scalars), 3, n, 3))
    for axis in range(3):
        out[:, axis, :, axis] = scalars
    return out.reshape(len(scalars) * 3, -1)
