"""Where the photo's Gaussians give way to those of a filling, and how soon."""

from __future__ import annotations

import cv2
import numpy as np
from scipy.spatial import cKDTree

from core.libs.flame_model import topology as topo
from core.libs.mesh import Sheet
from core.models.LiftedAvatar.unseen import facing, in_front, normals

_DOUBT = 300.0  # how much sooner than the sure face a pixel gives way that may be background
_RIM = 0.04  # of the face's height: as far the mesh may miss the person's outline
_ALIKE = 0.15  # of a colour's range, within which a rim is skin


def find_rim(
    sheet: Sheet,
    owner: np.ndarray,  # (S, S) front triangle of every pixel, -1 where there is none
    image: np.ndarray,  # (S, S, 3) RGB in 0..1
    matte: np.ndarray,  # (S, S)
) -> np.ndarray:
    """(S, S) for skin that stands out beyond the outline of the far cheek the triangle of the face beside it, else -1.

    The mesh misses the outline by some pixels. They lie on what is behind the cheek, and would stay there as a rim when
    the cheek turns to the camera.
    """
    face = (sheet.triangles < topo.N_FACE).all(1)
    nothing = np.full(owner.shape, -1, np.int32)
    on_face = (owner >= 0) & face[owner]
    firm = on_face & (facing(normals(sheet.points, sheet.triangles))[owner] > 0.2) & (matte > 0.9)
    if not firm.any():
        return nothing
    hidden = ~in_front(sheet.pixels, sheet.triangles, owner)
    behind = hidden[sheet.triangles].any(1) & (sheet.triangles >= topo.N_POINTS).any(1)
    distance, label = cv2.distanceTransformWithLabels(
        1 - firm.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    places = np.zeros((label.max() + 1, 2), np.int64)
    places[label[firm]] = np.argwhere(firm)
    row, column = np.moveaxis(places[label], -1, 0)
    reach = _RIM * np.ptp(sheet.pixels[list(topo.FACE_OVAL), 1])
    alike = np.abs(image - cv2.GaussianBlur(image, (0, 0), 1.0)[row, column]).max(-1) < _ALIKE
    skin = ((owner >= 0) & ~face[owner] & (matte > 0.02) & (distance <= 3 * reach) & alike).astype(np.uint8)
    # What is broader is neck or ear.
    brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * round(reach / 2) + 1,) * 2)
    thin = skin & ~cv2.morphologyEx(skin, cv2.MORPH_OPEN, brush)
    near = (owner >= 0) & behind[owner] & (distance <= reach) & (matte > 0.02)
    rim = near & (cv2.dilate(thin * near.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0)
    return np.where(rim, owner[row, column], nothing)


def outline(
    sheet: Sheet,
    rim: np.ndarray,  # (S, S) see `find_rim`
) -> np.ndarray:
    """`Avatar.outline`: (M,) 1 and 2 for the points of the face seen edge-on beside a rim, by its side, 0 elsewhere."""
    out = np.zeros(len(sheet.points), np.int8)
    face = (sheet.triangles < topo.N_FACE).all(1)
    edge = np.unique(sheet.triangles[face & (facing(normals(sheet.points, sheet.triangles)) < 0.35)])
    places = np.argwhere(rim >= 0)[:, ::-1]
    if len(edge) and len(places):
        side = rim_side(sheet, places[:, 0])
        for value in (1, 2):
            if (side == value).any():
                out[edge[np.unique(cKDTree(sheet.pixels[edge]).query(places[side == value])[1])]] = value
    return out


def rim_side(sheet: Sheet, columns: np.ndarray) -> np.ndarray:
    """1 left of the middle of the face's border, 2 right of it, (K,)."""
    return np.where(columns < sheet.pixels[list(topo.FACE_OVAL), 0].mean(), 1, 2)


def haste(
    sheet: Sheet,
    owner: np.ndarray,  # (S, S) front triangle of every pixel
    rim: np.ndarray,  # (S, S) see `find_rim`
    doubt: np.ndarray,  # (S, S) in 0..1, how likely a pixel is background
    filled: np.ndarray,  # (G,) triangles
) -> np.ndarray:
    """`Avatar.haste` of all pixels (S, S): the less surely one is the face's, the sooner it gives way."""
    face = (sheet.triangles < topo.N_FACE).all(1)
    hands_over = np.zeros(len(face), bool)
    hands_over[filled] = True
    out = np.where(hands_over[owner], 1 + _DOUBT * np.where(face[owner], doubt, 0), 0)
    return np.where(rim >= 0, -1.0 - rim_side(sheet, np.arange(owner.shape[1])), out).astype(np.float32)


def closed(sheet: Sheet, filled: np.ndarray) -> np.ndarray:
    """`Avatar.closed`: (M,) the corners of triangles of the face that have no filling."""
    left = (sheet.triangles < topo.N_FACE).all(1)
    left[filled] = False
    out = np.zeros(len(sheet.points), bool)
    out[sheet.triangles[left]] = True
    return out
