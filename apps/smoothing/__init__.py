"""The over-smoothing room: point at a patch and see its likes, layer by layer; take blocks out."""

from apps.smoothing.poster import poster
from apps.smoothing.room import CSS, SUBTITLE, TITLE, build

__all__ = ["CSS", "SUBTITLE", "TITLE", "build", "poster"]
