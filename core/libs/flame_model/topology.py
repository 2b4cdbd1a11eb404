"""Which of the tracker's 478 points is what. Left and right are the person's, as in FLAME."""

from __future__ import annotations

import numpy as np

N_FACE = 468  # points of the face surface; the irises follow
N_POINTS = 478

# Loops, each in order around its hole or border, starting anywhere.
FACE_OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
RIGHT_EYE = (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7)
LEFT_EYE = (263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249)
INNER_LIPS = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)
OUTER_LIPS = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)
RIGHT_IRIS = (468, 469, 470, 471, 472)  # centre, then four points of the border
LEFT_IRIS = (473, 474, 475, 476, 477)
RIGHT_BROW = (70, 63, 105, 66, 107, 46, 53, 52, 65, 55)
LEFT_BROW = (300, 293, 334, 296, 336, 276, 283, 282, 295, 285)
NOSE = (1, 2, 4, 5, 19, 94, 98, 97, 326, 327, 48, 278, 64, 294, 129, 358, 195, 220, 440, 45, 275, 115, 344, 131, 360)
CHIN = (152, 148, 377, 176, 400, 149, 378, 175, 199, 200)

# The mesh vertices nearest to the 68 points of the Multi-PIE/iBUG annotation (Sagonas et al., 300-W, 2013), which are
# FLAME's landmarks, in its order: 17 jaw, 10 brows, 9 nose, 12 eyes, 20 mouth, the person's right first. The table is
# that of core.evaluation.metrics, which on purpose uses nothing of the libs; a test holds the two together.
LANDMARKS_68 = (
    *(162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389),
    *(71, 63, 105, 66, 107, 336, 296, 334, 293, 301),
    *(168, 197, 5, 4, 75, 97, 2, 326, 305),
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87),
)
# The parts of those 68, half-open ranges.
PARTS_68 = {
    "jaw": (0, 17),
    "right brow": (17, 22),
    "left brow": (22, 27),
    "nose": (27, 36),
    "right eye": (36, 42),
    "left eye": (42, 48),
    "lips": (48, 68),
}

# Points that expressions hardly move: eye corners, nose bridge, temples and the middle of the forehead. A pose fitted
# to them does not nod when the mouth opens.
STABLE = (33, 133, 362, 263, 168, 6, 197, 195, 8, 9, 151, 10, 234, 454, 127, 356, 162, 389, 21, 251, 122, 351)

# The two lids of each eye and the two lips, in pairs, upper first: how far each opening is open.
EYE_PAIRS = {"right": ((159, 145), (158, 153), (160, 144)), "left": ((386, 374), (385, 380), (387, 373))}
EYE_CORNERS = {"right": (33, 133), "left": (362, 263)}
LIP_PAIRS = ((13, 14), (82, 87), (312, 317))
MOUTH_CORNERS = (78, 308)

# Expression codes by region, as the project is specified: half-open ranges of the code.
REGIONS = {
    "global": (0, 20),
    "eyes": (20, 30),
    "mouth": (30, 50),
    "brows": (50, 60),
    "nose": (60, 70),
    "cheeks": (70, 100),
}


def tesselation() -> np.ndarray:
    """The triangles of the face surface from MediaPipe's edge list: (852, 3), winding not yet made consistent.

    The edges are published without triangles: these are the 3-cliques of the graph, less the two that are holes'.
    """
    import mediapipe  # only the builder needs it

    neighbours: dict[int, set[int]] = {}
    for a, b in mediapipe.solutions.face_mesh.FACEMESH_TESSELATION:
        neighbours.setdefault(a, set()).add(b)
        neighbours.setdefault(b, set()).add(a)
    found = {
        tuple(sorted((a, b, c))) for a, around in neighbours.items() for b in around for c in around & neighbours[b]
    }
    triangles = np.array(sorted(found))
    edges = np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]], -1)  # (F, 3, 2)
    _, edge_of, uses = np.unique(edges.reshape(-1, 2), axis=0, return_inverse=True, return_counts=True)
    return triangles[(uses[edge_of.reshape(-1, 3)] <= 2).any(1)]


def ring_strip(upper: list[int], lower: list[int]) -> np.ndarray:
    """Triangles between two chains of equal length that run side by side: (2 n - 2, 3)."""
    quads = zip(upper, upper[1:], lower, lower[1:], strict=False)
    return np.array([t for a, b, c, d in quads for t in ((a, b, c), (b, d, c))])
