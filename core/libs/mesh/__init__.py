"""The proxy mesh: the tracked head of a picture as one surface, shared by tracker and avatar."""

from core.libs.mesh.normals import triangle_normals, view_cosine
from core.libs.mesh.proxy import ProxyMesh, ProxySettings, build_proxy_mesh
from core.libs.mesh.rasterize import rasterize_mesh

__all__ = ["ProxyMesh", "ProxySettings", "build_proxy_mesh", "rasterize_mesh", "triangle_normals", "view_cosine"]
