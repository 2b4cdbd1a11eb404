"""The tracked head in a picture as one surface, that tracker and avatar share."""

from core.libs.surface.covering import cover
from core.libs.surface.lifting import Sheet, lift

__all__ = ["Sheet", "cover", "lift"]
