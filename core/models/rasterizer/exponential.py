"""exp of small negative numbers as a polynomial, for the footprints of Gaussians."""

from __future__ import annotations

import numpy as np
from numba import njit

from core.models.rasterizer.compiled import FASTMATH

EXP_MIN = np.float32(-8.0)  # both rules cut earlier: 1/255 is exp(-5.54)

# Chebyshev fit of exp on [EXP_MIN / 16, 0], degree 5: 1.3e-8 relative; 2.5e-6 with four squarings in float32.
_COEFFICIENTS = (
    np.float32(0.9999999914291052),
    np.float32(0.9999987645338196),
    np.float32(0.4999710205698506),
    np.float32(0.16641667401136154),
    np.float32(0.04068220051775976),
    np.float32(0.0065045072997236275),
)


@njit(inline="always", fastmath=FASTMATH, error_model="numpy")
def exp_neg(p):
    """exp(p) for p in [EXP_MIN, 0] as a polynomial, so that LLVM can put it into vector lanes (libm is a call)."""
    x = p * np.float32(0.0625)
    c0, c1, c2, c3, c4, c5 = _COEFFICIENTS
    e = c0 + x * (c1 + x * (c2 + x * (c3 + x * (c4 + x * c5))))
    e = e * e
    e = e * e
    e = e * e
    return e * e
