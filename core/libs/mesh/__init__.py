"""The tracked head in a picture as one surface, that tracker and avatar share."""

from core.libs.mesh.proxy import Sheet, lift
from core.libs.mesh.rasterize import cover

__all__ = ["Sheet", "cover", "lift"]
