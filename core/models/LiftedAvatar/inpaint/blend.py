"""How the photo's Gaussians give way to inpainted ones, and the silhouette fringe that goes with neither."""

from __future__ import annotations

import cv2
import numpy as np

from core.libs.flame_model import topology as topo
from core.libs.geometry import Camera
from core.libs.mesh import OvershootSettings, ProxyMesh, face_triangles, far_side, triangle_normals, view_cosine
from core.libs.nearest import nearest_pixels
from core.libs.numeric import over_channels
from core.models.LiftedAvatar.binding import Role
from core.models.LiftedAvatar.inpaint.visibility import edge_on_triangles, visible_points
from core.models.LiftedAvatar.inpaint_settings import BlendSettings, VisibilitySettings

_DEFAULT, _VISIBILITY, _OVERSHOOT = BlendSettings(), VisibilitySettings(), OvershootSettings()


def find_fringe(
    mesh: ProxyMesh,
    pix_to_face: np.ndarray,  # (S, S) front triangle of every pixel, -1 where there is none
    image: np.ndarray,  # (S, S, 3) RGB in 0..1
    matte: np.ndarray,  # (S, S)
    camera: Camera | None = None,  # of the photo
    settings: BlendSettings = _DEFAULT,
) -> np.ndarray:
    """The silhouette fringe: skin of the far cheek that lies just outside the mesh of the face.

    The mesh misses the outline by some pixels. They lie on the triangles behind the cheek, and would stay there when
    the cheek turns to the camera.

    Returns:
        (S, S) int32: for pixels of the fringe the nearest triangle of the face, -1 for all others.
    """
    camera = camera or Camera()
    face = face_triangles(mesh)
    nothing = np.full(pix_to_face.shape, -1, np.int32)
    on_face = (pix_to_face >= 0) & face[pix_to_face]
    cosine = view_cosine(triangle_normals(mesh.points, mesh.triangles))
    firm = on_face & (cosine[pix_to_face] > settings.least_cosine) & (matte > settings.least_matte)
    if not firm.any():
        return nothing
    behind = _behind(mesh, pix_to_face)
    row, column, distance = nearest_pixels(firm)
    reach = settings.fringe_reach * np.ptp(mesh.pixels[list(topo.FACE_OVAL), 1])
    candidates = (pix_to_face >= 0) & ~face[pix_to_face] & (matte > settings.matte_floor) & (distance <= 3 * reach)
    nearest = cv2.GaussianBlur(image, (0, 0), camera.scale)[row[candidates], column[candidates]]
    skin = np.zeros(candidates.shape, np.uint8)
    skin[candidates] = over_channels(np.maximum, np.abs(image[candidates] - nearest)) < settings.skin_difference
    # What is broader is neck or ear.
    brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * round(reach / 2) + 1,) * 2)
    thin = skin & ~cv2.morphologyEx(skin, cv2.MORPH_OPEN, brush)
    near = (pix_to_face >= 0) & behind[pix_to_face] & (distance <= reach) & (matte > settings.matte_floor)
    beside = cv2.dilate(thin * near.astype(np.uint8), np.ones((camera.odd(settings.beside),) * 2, np.uint8)) > 0
    _, part, stats, _ = cv2.connectedComponentsWithStats((near & beside).astype(np.uint8))
    length = stats[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max(1)
    # An outline is a line: spots beside it are hair in the skin's colour.
    fringe = near & beside & (length >= settings.shortest * np.ptp(mesh.pixels[list(topo.FACE_OVAL), 1]))[part]
    fringe |= _islands(mesh, pix_to_face, (matte > settings.matte_floor) & ~fringe, on_face, reach, settings)
    nothing[fringe] = pix_to_face[row[fringe], column[fringe]]
    return nothing


def find_loose_rim(
    mesh: ProxyMesh,
    pix_to_face: np.ndarray,  # (S, S) front triangle of every pixel, -1 where there is none
    matte: np.ndarray,  # (S, S)
    camera: Camera | None = None,  # of the photo
    settings: BlendSettings = _DEFAULT,
    overshoot: OvershootSettings = _OVERSHOOT,
) -> np.ndarray:
    """(S, S) bool: the soft rim of the far cheek in a three-quarter view, between the mesh and the background.

    It is the cheek's and lies on what is behind: a line in the air once the cheek moves.
    """
    camera = camera or Camera()
    side = far_side(mesh, overshoot)
    if not side:
        return np.zeros(pix_to_face.shape, bool)
    on_face = (pix_to_face >= 0) & face_triangles(mesh)[pix_to_face]
    beside = ((matte > settings.faint) & ~on_face).astype(np.uint8)
    brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (camera.odd(settings.rim),) * 2)
    thin = (beside > 0) & (cv2.morphologyEx(beside, cv2.MORPH_OPEN, brush) == 0)
    near = cv2.dilate(on_face.astype(np.uint8), brush, iterations=2) > 0
    far = side * (np.arange(matte.shape[1])[None] - mesh.pixels[list(topo.FACE_OVAL), 0].mean()) > 0
    return thin & near & far & (pix_to_face >= 0) & _behind(mesh, pix_to_face)[pix_to_face]


def _behind(mesh: ProxyMesh, pix_to_face: np.ndarray) -> np.ndarray:
    """(F,) bool: triangles of the surroundings that go on behind the face."""
    hidden = ~visible_points(mesh.pixels, mesh.triangles, pix_to_face)
    return hidden[mesh.triangles].any(1) & (mesh.triangles >= topo.N_POINTS).any(1)


def _islands(
    mesh: ProxyMesh,
    pix_to_face: np.ndarray,  # (S, S)
    person: np.ndarray,  # (S, S) bool, without its fringe
    on_face: np.ndarray,  # (S, S) bool
    reach: float,  # pixels
    settings: BlendSettings,
) -> np.ndarray:
    """(S, S) bool: small pieces of the person beside the face that nothing but the face holds.

    An ear hangs together with hair or neck; what does not is the cheek's own outline, and would be left in the air.
    """
    around = (pix_to_face >= 0) & ~(mesh.triangles < topo.N_POINTS).all(1)[pix_to_face]
    _, part, stats, _ = cv2.connectedComponentsWithStats((person & around).astype(np.uint8))
    small = stats[:, cv2.CC_STAT_AREA] < settings.island * on_face.sum()
    brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * round(reach) + 1,) * 2)
    beside = np.zeros(len(stats), bool)
    beside[np.unique(part[cv2.dilate(on_face.astype(np.uint8), brush) > 0])] = True
    small &= beside
    small[0] = False  # all that is none
    return small[part]


def fringe_roles(mesh: ProxyMesh, columns: np.ndarray) -> np.ndarray:
    """(K,) the role of a fringe in columns (K,): by the side of the middle of the face's border."""
    middle = mesh.pixels[list(topo.FACE_OVAL), 0].mean()
    return np.where(columns < middle, Role.LEFT_FRINGE, Role.RIGHT_FRINGE).astype(np.int8)


def silhouette_points(
    mesh: ProxyMesh,
    fringe: np.ndarray,  # (S, S) see `find_fringe`
    settings: VisibilitySettings = _VISIBILITY,
) -> np.ndarray:
    """`Binding.silhouette`: (M,) the fringe's role for points of the face seen edge-on beside it, 0 elsewhere."""
    from scipy.spatial import cKDTree  # a run that finds its avatar does without it

    out = np.zeros(len(mesh.points), np.int8)
    edge_on = edge_on_triangles(mesh, triangle_normals(mesh.points, mesh.triangles), settings)
    edge = np.unique(mesh.triangles[edge_on])
    places = np.argwhere(fringe >= 0)[:, ::-1]
    if len(edge) and len(places):
        side = fringe_roles(mesh, places[:, 0])
        for role in (Role.LEFT_FRINGE, Role.RIGHT_FRINGE):
            if (side == role).any():
                out[edge[np.unique(cKDTree(mesh.pixels[edge]).query(places[side == role])[1])]] = role
    return out


def photo_roles(
    mesh: ProxyMesh,
    pix_to_face: np.ndarray,  # (S, S)
    fringe: np.ndarray,  # (S, S) see `find_fringe`
    doubt: np.ndarray,  # (S, S) in 0..1, how likely a pixel is background
    inpainted: np.ndarray,  # (G,) triangles
    settings: BlendSettings = _DEFAULT,
) -> tuple[np.ndarray, np.ndarray]:
    """Roles (S, S) int8 and fade exponents (S, S) float32 of the photo's pixels.

    Pixels of inpainted triangles fade: the less surely one is the face's, the sooner.
    """
    face = face_triangles(mesh)
    fades = np.zeros(len(face), bool)
    fades[inpainted] = True
    role = np.where(fades[pix_to_face], Role.FADING, Role.SOLID).astype(np.int8)
    exponent = 1 + settings.doubt_exponent * np.where(face[pix_to_face], doubt, 0)
    role = np.where(fringe >= 0, fringe_roles(mesh, np.arange(pix_to_face.shape[1])), role)
    return role, np.where(role == Role.FADING, exponent, 1).astype(np.float32)


def all_photo_points(mesh: ProxyMesh, inpainted: np.ndarray) -> np.ndarray:
    """`Binding.all_photo`: (M,) the corners of triangles of the face that are not inpainted."""
    left = face_triangles(mesh)
    left[inpainted] = False
    out = np.zeros(len(mesh.points), bool)
    out[mesh.triangles[left]] = True
    return out
