"""How the shoulders of a driver move, apart from the head.

The shoulders of a reference frame are laid onto every frame by a similarity of the picture that makes the grey levels
agree: inverse compositional image alignment (Baker and Matthews, IJCV 2004) with robust weights. Clothes often have no
corner to follow, only a lapel's edge; an alignment of all pixels makes the most of that.
"""

from __future__ import annotations

import cv2
import numpy as np

from core.libs.geometry import NECK, Camera, to_camera
from core.libs.tracker.settings import TorsoSettings
from core.libs.tracker.torso_kernel import align

_SETTINGS, _CAMERA = TorsoSettings(), Camera()


class TorsoTracker:
    """Follows the shoulders through the frames of one driver.

    Args:
        picture: the reference frame's crop, (S, S, 3) uint8 RGB or its grey levels as small as the settings' size
            (`compared_crop`). matte: (S, S) of the person in it.
        pixels: (M, 2) points in it. torso: (M,) in 0..1, how much each belongs to the shoulders.
        transform: (3, 4) of the head in it. camera: of the crop. settings: sizes, thresholds and the motion's prior.
    """

    def __init__(
        self,
        picture: np.ndarray,
        matte: np.ndarray,
        pixels: np.ndarray,
        torso: np.ndarray,
        transform: np.ndarray,
        camera: Camera = _CAMERA,
        settings: TorsoSettings = _SETTINGS,
    ) -> None:
        self._settings, scale = settings, settings.size / camera.size
        grey = _shrink(picture, self._settings)
        neck = to_camera(NECK[None], transform.astype(np.float64))
        self._neck = (camera.to_pixels(neck)[0] + 0.5) * scale - 0.5
        self._unit = camera.focal * settings.size / 2 / neck[0, 2]  # pixels of the small picture of a head unit there
        gx, gy = cv2.Sobel(grey, -1, 1, 0, scale=1 / 8), cv2.Sobel(grey, -1, 0, 1, scale=1 / 8)
        body = _torso_mask(pixels, torso, scale, settings) & (
            cv2.resize(matte, (settings.size, settings.size), interpolation=cv2.INTER_AREA) > 0.5
        )
        body[:, [0, 1, -2, -1]] = body[[0, 1, -2, -1]] = False
        y, x = np.nonzero(body & (gx**2 + gy**2 > self._settings.steep**2))
        at = np.stack([x, y], 1).astype(np.float32)
        u, v = ((at - self._neck) / self._unit).T  # right and down from the neck, head units
        gx, gy = gx[y, x] * self._unit, gy[y, x] * self._unit
        self._at, self._values = at, grey[y, x]
        # How the grey levels under the points change with shift to the right and down, roll and growth.
        self._slopes = np.stack([gx, gy, gy * u - gx * v, gx * u + gy * v], 1).astype(np.float64)
        self._motion, self._following = np.zeros(4), False
        self._deviation = np.array(settings.deviation)

    def follow(self, picture: np.ndarray) -> np.ndarray:
        """The motion (4,) since the reference frame, NaN where too little is seen of the shoulders.

        Left and up at the neck in head units (the camera's axes), roll in radians (clockwise in the picture), and the
        logarithm of the growth.
        """
        s = self._settings
        if len(self._at) < s.fewest:
            return np.full(4, np.nan)
        motion, share = align(
            _shrink(picture, s),
            self._at,
            self._values,
            self._slopes,
            self._neck,
            self._unit,
            self._motion,
            1 / self._deviation**2,
            s.noise,
            s.outlier,
            # The first frame may be far from the reference; every other one begins where the last ended
            s.rounds if self._following else s.first_rounds,
            s.settled,
        )
        if share < s.reliable or (np.abs(motion) > s.largest * self._deviation).any():
            self._motion, self._following = np.zeros(4), False
            return np.full(4, np.nan)
        self._motion, self._following = motion, True
        return (motion * [-1, -1, 1, 1]).astype(np.float32)


def _shrink(picture: np.ndarray, settings: TorsoSettings) -> np.ndarray:
    small = picture
    if picture.shape != (settings.size, settings.size):
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) if picture.ndim == 3 else picture
        small = cv2.resize(grey, (settings.size, settings.size), interpolation=cv2.INTER_AREA)
    return cv2.GaussianBlur(small.astype(np.float32), (0, 0), settings.blur)


def _torso_mask(pixels: np.ndarray, torso: np.ndarray, scale: float, settings: TorsoSettings) -> np.ndarray:
    """(S, S) bool: where the torso's weight, interpolated between the points, is above `torso_share`."""
    from scipy.interpolate import griddata  # a fifth of a second, which a run whose driver is in the cache does without

    axis = (np.arange(settings.size) + 0.5) / scale - 0.5
    return griddata(pixels, torso, tuple(np.meshgrid(axis, axis)), fill_value=0.0) > settings.torso_share
