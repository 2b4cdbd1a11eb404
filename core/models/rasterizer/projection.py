"""The projection of Gaussians, as both rules have it.

Frame: q = (-x_cam, -y_cam, z_cam), x right, y down, z away from the camera; pixel centres are integers.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from core.models.rasterizer._simd import vmax, vmin
from core.models.rasterizer.compiled import FASTMATH

# The published renderer's (diff-gaussian-rasterization), which the network was trained with.
NEAR = np.float32(0.2)  # Gaussians whose centre is nearer are dropped: the only frustum test
CLAMP = np.float32(1.3)  # the tangent in the Jacobian is clamped to 1.3 times the half field of view
W_EPS = np.float32(1e-7)  # added to the divisor of the projection
LOW_PASS = 0.3  # added to both variances on the screen by the alpha rule, px^2


@njit(inline="always", fastmath=FASTMATH, error_model="numpy")
def project_covariance(cam, qx, qy, iz, s, fx, fy, tan_x, tan_y):
    """2D covariance (kxx, kxy, kyy) in px^2 of a Gaussian: K = J Rc S Rc^T J^T with the tangent clamp.

    `s`: xx, xy, xz, yy, yz, zz of S. All numbers are float32, or those of sixteen Gaussians as vectors (`_simd`).
    """
    lim_x = CLAMP * tan_x
    lim_y = CLAMP * tan_y
    zero = np.float32(0)
    a = vmin(vmax(qx * iz, -lim_x), lim_x)
    b = vmin(vmax(qy * iz, -lim_y), lim_y)
    gx = fx * iz
    gy = fy * iz
    # Rows of J Rc. Rc[0] = -R[:, 0], Rc[1] = -R[:, 1], Rc[2] = R[:, 2] (row-vector convention, x and y flipped).
    m00 = zero - gx * (cam[0] + a * cam[2])
    m01 = zero - gx * (cam[3] + a * cam[5])
    m02 = zero - gx * (cam[6] + a * cam[8])
    m10 = zero - gy * (cam[1] + b * cam[2])
    m11 = zero - gy * (cam[4] + b * cam[5])
    m12 = zero - gy * (cam[7] + b * cam[8])
    sxx, sxy, sxz, syy, syz, szz = s
    h0 = sxx * m00 + sxy * m01 + sxz * m02
    h1 = sxy * m00 + syy * m01 + syz * m02
    h2 = sxz * m00 + syz * m01 + szz * m02
    kxx = m00 * h0 + m01 * h1 + m02 * h2
    kxy = m10 * h0 + m11 * h1 + m12 * h2
    h0 = sxx * m10 + sxy * m11 + sxz * m12
    h1 = sxy * m10 + syy * m11 + syz * m12
    h2 = sxz * m10 + syz * m11 + szz * m12
    return kxx, kxy, m10 * h0 + m11 * h1 + m12 * h2
