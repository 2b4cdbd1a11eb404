"""The published network: `models.GAGAvatar` itself, `adapter.PublishedAvatar` what the pipeline drives."""

from .models import GAGAvatar

__all__ = ["GAGAvatar"]
