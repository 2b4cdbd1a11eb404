"""The built-in avatar: training-free, on the CPU."""

from .models import LiftedAvatar

__all__ = ["LiftedAvatar"]
