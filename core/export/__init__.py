"""Take an avatar along: files that other programs open. See `core.export.__main__` for the command line."""

from core.export.html_file import page
from core.export.mesh import AnimatedMesh, animated_mesh
from core.export.moment import moment
from core.export.page_data import portrait_payload
from core.export.write import write_mesh, write_page, write_splats

__all__ = [
    "AnimatedMesh",
    "animated_mesh",
    "moment",
    "page",
    "portrait_payload",
    "write_mesh",
    "write_page",
    "write_splats",
]
