"""The attention room: choose a photo and a model, hover, and see where each place looks."""

from apps.attention.poster import poster
from apps.attention.room import CSS, SUBTITLE, TITLE, build

__all__ = ["CSS", "SUBTITLE", "TITLE", "build", "poster"]
