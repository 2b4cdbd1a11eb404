"""The published network: `models.GAGAvatar` itself, `adapter.PublishedAvatar` what the pipeline drives."""
