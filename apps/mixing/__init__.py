"""The mixing room: point at a place, and see what it is made of, in every block of two models of any kind."""

from apps.mixing.poster import poster
from apps.mixing.room import CSS, SUBTITLE, TITLE, build

__all__ = ["CSS", "SUBTITLE", "TITLE", "build", "poster"]
