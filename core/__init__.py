"""GAGAvatar Enhanced: animate one photo with any driver."""

__version__ = "0.1.0"
