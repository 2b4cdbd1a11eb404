"""Expression codes of a driver transferred to a source: the driver's motion, the source's resting face.

A code is the sum of a resting face (the person's neutral) and of motion. The driver's neutral is estimated from the
clip and subtracted, and the source's is added, as in the relative motion transfer of the first-order motion model
(Siarohin et al., NeurIPS 2019), there of key points. Openings of lips and lids are corrected in
`core.libs.retargeting.expression`, which knows the head.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from core.errors import UserError
from core.libs.flame_model.topology import REGIONS
from core.libs.numeric import ramp, soft_clip
from core.libs.retargeting.neutral import MOTION_SHARE, NEUTRAL, resting_frames

if TYPE_CHECKING:
    import torch

    from core.libs.flame_model import FLAMEModel

    Array = TypeVar("Array", np.ndarray, torch.Tensor)

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExpressionSettings:
    """Of `ExpressionOptimizer` beside its arguments. By eye.

    Attributes:
        noise, motion: size of what the kept components of the PCA leave of a code, over the median: up to `noise`
            it is dropped, from `motion` on kept.
    """

    noise: float = 1.5
    motion: float = 2.5


# How much of a region's resting face tells who someone is, 0 to 1: the specification's figures
SENSITIVITY = {"eyes": 0.9, "nose": 0.95, "mouth": 0.7, "brows": 0.85, "cheeks": 0.8}


class ExpressionOptimizer:
    """Transfers expression codes from a driver to a source. In plain numpy; no gradients flow through it.

    Args:
        n_exp: N, the length of a code.
        n_pca_components: of the driver's motion that are kept, with `use_pca`; at most what the clip's length allows.
        global_weight, local_weight: weights of two answers to how much of the resting face is the source's: all of it,
            and region by region `SENSITIVITY`. Only their ratio counts. Motion keeps its amplitude.
        gain: of the motion.
        limit: standard deviations that no code goes beyond; codes are limited softly from two thirds of it on.
        use_pca: keep the strongest components of the driver's motion and drop the residual, unless it is too large to
            be noise, as a blink is. Needs scikit-learn: the extra `pca`. `fit_neutral` finds them in the
            driver's clip, or `initialize_pca` in whatever it is given.
        head: whose codes these are. For the open head, and with None, codes belong to regions by their index; for
            FLAME, whose directions move the whole face, by where each one moves vertices.
        regions: name -> (V,) weights in 0..1, with `head`; None takes the head's own.

    Attributes:
        neutral: (N,) the driver's resting code, from `fit_neutral`, or None.
        identity_share: (N,) how much of each code of the resting face is the source's.
        settings: what the arguments leave open; a subclass or an instance may have others.
    """

    settings: ExpressionSettings = ExpressionSettings()

    def __init__(
        self,
        n_exp: int = 100,
        n_pca_components: int = 50,
        global_weight: float = 0.8,
        local_weight: float = 0.2,
        *,
        gain: float = 1.0,
        limit: float = 20.0,
        use_pca: bool = False,
        head: FLAMEModel | None = None,
        regions: dict[str, np.ndarray] | None = None,
    ) -> None:
        if n_exp < 1 or n_pca_components < 1:
            raise ValueError(f"n_exp and n_pca_components must be positive, got {n_exp} and {n_pca_components}")
        if min(global_weight, local_weight) < 0 or global_weight + local_weight <= 0:
            raise ValueError(f"weights must not be negative nor both zero, got {global_weight} and {local_weight}")
        if not 0 <= gain < np.inf or not limit > 0:
            raise ValueError(f"gain must be at least 0 and limit above 0, got {gain} and {limit}")
        self.n_exp, self.n_pca_components = n_exp, n_pca_components
        self.global_weight, self.local_weight = global_weight, local_weight
        self.gain, self.limit, self.use_pca = float(gain), float(limit), use_pca
        sensitivity = region_shares(n_exp, head, regions) @ np.array([*SENSITIVITY.values(), 1.0])
        self.identity_share = (global_weight + local_weight * sensitivity) / (global_weight + local_weight)
        self.neutral: np.ndarray | None = None
        self._pca: Any = None  # scikit-learn's PCA, which need not be installed
        self._noise = 0.0
        self._initialized = self._warned = False

    def fit_neutral(self, expcodes: Array, share: float = NEUTRAL.share) -> Array:  # (T, N) -> (N,)
        """The driver's resting code: returned, and kept in `neutral` for `optimize_expression`.

        The mean of the frames that are nearest to one another (`resting_frames`): a face at rest keeps still, one that
        laughs or talks does not. Of two states that are held as still, the one nearer to the mean face is taken. The
        order of the frames does not count.

        Args:
            share: of the frames, that is averaged. More where others were left out before, as `calm_frames` does by
                lips and lids, which codes alone do not show.

        Rows that are not finite are left out. ValueError with fewer than two others.
        """
        codes = self._checked(expcodes, (2,), finite=False)
        codes = codes[np.isfinite(codes).all(1)]
        if len(codes) < 2:
            raise ValueError(f"a neutral needs at least 2 frames with finite codes, got {len(codes)}")
        self.neutral = codes[resting_frames(codes, share)].mean(0)
        if self.use_pca and not self._initialized:
            self._fit_pca(codes)
        return _like(self.neutral, expcodes)

    def initialize_pca(self, expression_dataset: Array) -> None:  # (T, N)
        """The principal components of expressions, from codes of one or many clips; switches `use_pca` on.

        `fit_neutral` leaves them as they are from then on. Rows that are not finite are left out. ValueError with fewer
        than two others; UserError without scikit-learn.
        """
        codes = self._checked(expression_dataset, (2,), finite=False)
        codes = codes[np.isfinite(codes).all(1)]
        if len(codes) < 2:
            raise ValueError(f"a PCA needs at least 2 finite codes, got {len(codes)}")
        self._fit_pca(codes)
        self.use_pca = self._initialized = True

    def optimize_expression(
        self,
        expcode: Array,  # (N,) or (B, N)
        identity_features: Array | None = None,  # (N,) or (B, N)
        preserve_identity: bool = True,
    ) -> Array:
        """The source's codes with the driver's motion; shape, dtype and device as `expcode` has them.

        Args:
            expcode: the driver's.
            identity_features: the source's own expression code, as its photo was tracked: the resting face that the
                driver's motion is added to. None: the driver's own resting face stays, which is logged once.
            preserve_identity: False ignores `identity_features`.

        With a neutral fitted, motion is the driver's code less that. Without (a single picture) neither the driver's
        nor the source's neutral is known, and each code is split: `MOTION_SHARE` of it is taken for expression, the
        rest for the person. A smile is transferred then, and is not added to one that the source has already.
        """
        code = self._denoised(self._checked(expcode, (1, 2)))
        if identity_features is None and preserve_identity and not self._warned:
            self._warned = True
            _LOG.warning(
                "optimize_expression without identity_features: the resting face stays the driver's; give the photo's "
                "own expression code, and the driver's clip to fit_neutral"
            )
        if identity_features is None or not preserve_identity:
            source, share = code, np.zeros(self.n_exp)
        else:
            source, share = self._checked(identity_features, (1, 2)), self.identity_share
            if source.ndim == 2 and source.shape[0] not in (1, len(code) if code.ndim == 2 else 1):
                raise ValueError(f"identity_features {source.shape} do not go with expcode {code.shape}")
            source = source[0] if source.ndim == 2 and code.ndim == 1 else source
        if self.neutral is None:
            driver_neutral, source_neutral = (1 - MOTION_SHARE) * code, (1 - MOTION_SHARE) * source
        else:
            driver_neutral, source_neutral = self.neutral, source
        base = share * source_neutral + (1 - share) * driver_neutral
        return _like(soft_clip(base + self.gain * (code - driver_neutral), self.limit), expcode)

    def compute_expression_distance(
        self,
        exp1: Array,  # (N,) or (1, N)
        exp2: Array,  # (N,) or (1, N)
        metric: Literal["l2", "cosine", "perceptual"] = "l2",
    ) -> float:
        """The distance of two codes.

        `l2` is the Euclidean distance; `cosine` one minus the cosine of the angle between them, 1 where a code is zero;
        `perceptual` the Euclidean one with the squares of the codes that act on the whole face counted twice, as the
        specification has it. ValueError for another metric.
        """
        a, b = (self._checked(code, (1, 2)).reshape(-1, self.n_exp) for code in (exp1, exp2))
        if len(a) != 1 or len(b) != 1:
            raise ValueError(f"expected one code each, ({self.n_exp},), got {len(a)} and {len(b)}")
        if metric == "cosine":
            size = float(np.linalg.norm(a) * np.linalg.norm(b))
            return 1 - float((a * b).sum()) / size if size > 0 else 1.0
        if metric not in ("l2", "perceptual"):
            raise ValueError(f"metric must be l2, cosine or perceptual, got {metric!r}")
        weights = np.ones(self.n_exp)
        if metric == "perceptual":
            weights[slice(*REGIONS["global"])] = 2
        return float(np.sqrt((weights * np.square(a - b)).sum()))

    def blend_expressions(
        self,
        exp1: Array,  # (N,) or (B, N)
        exp2: Array,  # the same
        alpha: float = 0.5,
        regions: Sequence[str] | None = None,
    ) -> Array:
        """`(1 - alpha) exp1 + alpha exp2`, in the codes of some regions only where these are named; else `exp1`.

        Regions are those of the open head's codes, in the singular or the plural: `global`, `eyes`, `mouth`, `brows`,
        `nose`, `cheeks`. ValueError for others, and for codes of two shapes.
        """
        a, b = self._checked(exp1, (1, 2)), self._checked(exp2, (1, 2))
        if a.shape != b.shape:
            raise ValueError(f"expected two codes of one shape, got {a.shape} and {b.shape}")
        share = np.full(self.n_exp, float(alpha) if regions is None else 0.0)
        for region in regions or ():
            name = region if region in REGIONS else f"{region}s"
            if name not in REGIONS:
                raise ValueError(f"region {region!r} is none of {', '.join(REGIONS)}")
            share[slice(*REGIONS[name])] = alpha
        return _like((1 - share) * a + share * b, exp1)

    def _fit_pca(self, codes: np.ndarray) -> None:
        """The components of codes (T, N), and the median size of what they leave. UserError without scikit-learn."""
        try:
            from sklearn.decomposition import PCA
        except ImportError:
            raise UserError(
                "the expression's PCA needs scikit-learn: pip install scikit-learn, or this project with its extra, "
                "pip install .[pca]"
            ) from None
        count = min(self.n_pca_components, *codes.shape)
        self._pca = PCA(count, svd_solver="full").fit(codes)
        self._noise = float(np.median(np.linalg.norm(self._residual(codes), axis=-1)))

    def _residual(self, codes: np.ndarray) -> np.ndarray:
        """What the kept components leave of codes (..., N)."""
        axes = self._pca.components_
        centred = codes - self._pca.mean_
        return centred - centred @ axes.T @ axes

    def _denoised(self, codes: np.ndarray) -> np.ndarray:
        """Codes (..., N) without the residual of the PCA, where that is small enough to be noise."""
        if self._pca is None:
            return codes
        residual = self._residual(codes)
        size = np.linalg.norm(residual, axis=-1, keepdims=True) / max(self._noise, 1e-9)
        keep = ramp(size, self.settings.noise, self.settings.motion)
        return codes - (1 - keep) * residual

    def _checked(self, values: Array, dimensions: tuple[int, ...], finite: bool = True) -> np.ndarray:
        """Codes as float64; ValueError for another shape and, if `finite`, for values that are not."""
        array = values.detach().cpu().numpy() if hasattr(values, "detach") else np.asarray(values)
        if array.ndim not in dimensions or array.shape[-1] != self.n_exp:
            raise ValueError(f"expected codes (..., {self.n_exp}) of {dimensions} dimensions, got {array.shape}")
        if finite and not np.isfinite(array).all():
            raise ValueError(f"{int((~np.isfinite(array)).sum())} values of the codes are not finite")
        return array.astype(np.float64)


def region_shares(
    n_exp: int, head: FLAMEModel | None = None, regions: dict[str, np.ndarray] | None = None
) -> np.ndarray:  # (N, 6)
    """How much of each code acts on each region: the columns are those of `SENSITIVITY`, then the whole face.

    Rows add up to 1. For FLAME it is the part of a direction's squared displacement under a region's weights; what is
    under none is the whole face's. Arguments as those of `ExpressionOptimizer`. ValueError for weights of another mesh.
    """
    ranges = REGIONS if head is None else head.code_regions
    if regions is None and ranges is not None:
        shares = np.zeros((n_exp, len(SENSITIVITY) + 1))
        shares[:, -1] = 1
        for column, name in enumerate(SENSITIVITY):
            part = slice(*ranges[name])
            shares[part, column], shares[part, -1] = 1, 0
        return shares
    if head is None:
        raise ValueError("weights of regions need the head whose vertices they belong to")
    if regions is None:
        from core.libs.flame_model.regions import face_regions

        regions = face_regions(head)
    directions = head.directions[..., head.n_shape : head.n_shape + n_exp].detach().cpu().numpy().astype(np.float64)
    power = (directions**2).sum(1)  # (V, N)
    weights = np.stack([np.asarray(regions[name], np.float64) for name in SENSITIVITY], 1)
    if weights.shape != (len(power), len(SENSITIVITY)):
        raise ValueError(f"weights of regions must be ({len(power)},) each, got {weights.shape[:1]}")
    weights = weights / np.maximum(weights.sum(1, keepdims=True), 1)  # a vertex in two regions counts once
    shares = power.T @ weights / np.maximum(power.sum(0), 1e-12)[:, None]
    return np.concatenate([shares, 1 - shares.sum(1, keepdims=True)], 1)


def _like(values: np.ndarray, example: Array) -> Array:
    """Values as a tensor or array of the example's kind, floating type and device."""
    if hasattr(example, "detach"):
        import torch

        tensor: Any = example
        dtype = tensor.dtype if tensor.dtype.is_floating_point else torch.get_default_dtype()
        like: Any = torch.from_numpy(np.ascontiguousarray(values)).to(tensor.device, dtype)
        return like
    kind = np.asarray(example).dtype
    array: Any = values.astype(kind if np.issubdtype(kind, np.floating) else np.float64)
    return array
