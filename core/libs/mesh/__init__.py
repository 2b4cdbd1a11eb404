"""The proxy mesh: the tracked head of a picture as one surface, shared by tracker and avatar."""

from core.libs.mesh.normals import triangle_normals, view_cosine
from core.libs.mesh.overshoot import (
    NOSE_TIP,
    OvershootSettings,
    face_triangles,
    far_side,
    find_not_skin,
    find_skin_beyond,
    nose_share,
)
from core.libs.mesh.proxy import ProxyMesh, ProxySettings, build_proxy_mesh
from core.libs.mesh.rasterize import rasterize_mesh

__all__ = [
    "NOSE_TIP",
    "OvershootSettings",
    "ProxyMesh",
    "ProxySettings",
    "build_proxy_mesh",
    "face_triangles",
    "far_side",
    "find_not_skin",
    "find_skin_beyond",
    "nose_share",
    "rasterize_mesh",
    "triangle_normals",
    "view_cosine",
]
