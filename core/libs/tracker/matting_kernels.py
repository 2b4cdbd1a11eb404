"""Compiled parts of `solved_matte`: the matting Laplacian of the unknown pixels, and the conjugate gradients.

A pixel has weights for the 5 x 5 pixels around it, those that share a window of 3 x 3 with it. Only unknown pixels have
any; they follow one another row by row. What a row has of them in one piece has its weights in one block, those for the
same neighbour beside one another: so the processor multiplies many pixels at once.
"""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True, nogil=True, error_model="numpy")
def matting_weights(
    colors: np.ndarray,  # (H, W, 3) uint8
    pieces: np.ndarray,  # (P, 4) row and column of the first pixel, its number, the number behind the last
    own: np.ndarray,  # (N,) float32 what a pixel's weight for itself has besides
    flat: float,
) -> np.ndarray:  # (25 N,) float32: of each piece (25, its pixels)
    """The rows of the matting Laplacian (Levin, Lischinski and Weiss 2008, equation 12) that the N unknown pixels have,
    of windows of 3 x 3. Colours are counted in 0..1; `flat` is the paper's epsilon.
    """
    height, width = colors.shape[:2]
    weights = np.zeros(25 * len(own), np.float32)
    # Where the weights of a pixel begin, and how far apart they are; 0: it has none
    begin, step = np.zeros((height, width), np.int32), np.zeros((height, width), np.int32)
    for y, x, first, last in pieces:
        for i in range(last - first):
            begin[y, x + i], step[y, x + i] = 25 * first + i, last - first
            weights[25 * first + 12 * (last - first) + i] = own[first + i]
    off, told = np.empty((9, 3)), np.empty((9, 3))
    for y in range(1, height - 1):
        for x in range(1, width - 1):
            asked = False
            for i in range(9):
                asked |= step[y + i // 3 - 1, x + i % 3 - 1] > 0
            if not asked:
                continue
            for k in range(3):
                mean = 0.0
                for i in range(9):
                    off[i, k] = colors[y + i // 3 - 1, x + i % 3 - 1, k] * (1 / 255)
                    mean += off[i, k] / 9
                for i in range(9):
                    off[i, k] -= mean
            # Nine times their covariance; the 9 cancels that of the window's mean
            c00, c01, c02, c11, c12, c22 = flat, 0.0, 0.0, flat, 0.0, flat
            for i in range(9):
                r, g, b = off[i]
                c00 += r * r
                c01 += r * g
                c02 += r * b
                c11 += g * g
                c12 += g * b
                c22 += b * b
            i00, i01, i02 = c11 * c22 - c12 * c12, c02 * c12 - c01 * c22, c01 * c12 - c02 * c11
            i11, i12, i22 = c00 * c22 - c02 * c02, c01 * c02 - c00 * c12, c00 * c11 - c01 * c01
            scale = 1 / (c00 * i00 + c01 * i01 + c02 * i02)  # the inverse by cofactors
            for i in range(9):
                r, g, b = off[i]
                told[i, 0] = scale * (i00 * r + i01 * g + i02 * b)
                told[i, 1] = scale * (i01 * r + i11 * g + i12 * b)
                told[i, 2] = scale * (i02 * r + i12 * g + i22 * b)
            for i in range(9):
                at, wide = begin[y + i // 3 - 1, x + i % 3 - 1], step[y + i // 3 - 1, x + i % 3 - 1]
                if wide == 0:
                    continue
                for j in range(9):
                    alike = told[i, 0] * off[j, 0] + told[i, 1] * off[j, 1] + told[i, 2] * off[j, 2]
                    side = 5 * (j // 3 - i // 3 + 2) + j % 3 - i % 3 + 2
                    weights[at + side * wide] += (1.0 if i == j else 0.0) - 1 / 9 - alike
    return weights


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def weighted(
    weights: np.ndarray,  # (25 N,)
    pieces: np.ndarray,  # (P, 4) see `matting_weights`
    picture: np.ndarray,  # (H + 4, W + 4) float32 with a border of 2 pixels
    out: np.ndarray,  # (N,) float32
) -> None:
    """What the unknown pixels' weights make of a picture."""
    out[:] = 0
    for y, x, first, last in pieces:
        count = last - first
        total, own = out[first:last], weights[25 * first : 25 * last].reshape(25, count)
        for row in range(5):
            seen, k = picture[y + row, x : x + count + 4], 5 * row
            for i in range(count):
                total[i] += (
                    own[k, i] * seen[i]
                    + own[k + 1, i] * seen[i + 1]
                    + own[k + 2, i] * seen[i + 2]
                    + own[k + 3, i] * seen[i + 3]
                    + own[k + 4, i] * seen[i + 4]
                )


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def conjugate_gradients(
    weights: np.ndarray,  # (25 N,)
    pieces: np.ndarray,  # (P, 4) see `matting_weights`
    shape: tuple[int, int],  # (H, W)
    right: np.ndarray,  # (N,)
    start: np.ndarray,  # (N,)
    tolerance: float,
    rounds: int,
) -> np.ndarray:  # (N,) float32
    """Values of the unknown pixels, all others 0, of which the weights make `right`: up to a residual of `tolerance` of
    it, or for so many rounds (Hestenes and Stiefel 1952), preconditioned by the weights of pixels for themselves.
    """
    count, picture = len(start), np.zeros((shape[0] + 4, shape[1] + 4), np.float32)
    inverse, along, made = np.empty_like(start), np.zeros_like(start), np.empty_like(start)
    for _, _, first, last in pieces:
        inverse[first:last] = 1 / weights[25 * first : 25 * last].reshape(25, last - first)[12]
    _place(pieces, start, picture)
    weighted(weights, pieces, picture, made)
    out, residual, before = start.copy(), right - made, 1.0
    goal = tolerance**2 * (right * right).sum()
    for _ in range(rounds):
        now, left = 0.0, 0.0
        for i in range(count):
            square = residual[i] * residual[i]
            left += square
            now += square * inverse[i]
        if left <= goal:
            break
        kept = np.float32(now / before)
        for i in range(count):
            along[i] = kept * along[i] + inverse[i] * residual[i]
        _place(pieces, along, picture)
        weighted(weights, pieces, picture, made)
        curve, before = 0.0, now
        for i in range(count):
            curve += along[i] * made[i]
        step = np.float32(now / curve)
        for i in range(count):
            out[i] += step * along[i]
            residual[i] -= step * made[i]
    return out


@numba.njit(cache=True, nogil=True)
def _place(pieces: np.ndarray, values: np.ndarray, picture: np.ndarray) -> None:
    """Put the values (N,) of the unknown pixels into a picture; see `weighted`."""
    for y, x, first, last in pieces:
        picture[y + 2, x + 2 : x + 2 + last - first] = values[first:last]
