"""The head model."""

from core.libs.flame_model.flame import OPEN_HEAD, FLAMEModel, head_mirror

__all__ = ["OPEN_HEAD", "FLAMEModel", "head_mirror"]
