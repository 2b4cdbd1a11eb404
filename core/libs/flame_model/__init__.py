"""The head model."""

from core.libs.flame_model.flame import HEAD_TYPES, OPEN_HEAD, FlameHead, FLAMEModel, IrisGain, OpenHead, head_mirror
from core.libs.flame_model.head import Head

__all__ = ["HEAD_TYPES", "OPEN_HEAD", "FLAMEModel", "FlameHead", "Head", "IrisGain", "OpenHead", "head_mirror"]
