"""Videos in and out as streams: frames one at a time, exact rates and times, the driver's audio carried over.

Conventions: times are seconds as `Fraction`, 0 at the start of the video stream; images are uint8 (H, W, 3) RGB;
sizes are (width, height).
"""

from core.data.video.reader import VideoFrame, VideoReader
from core.data.video.writer import METADATA_KEYS, VideoWriter, partial_of

__all__ = ["METADATA_KEYS", "VideoFrame", "VideoReader", "VideoWriter", "partial_of"]
