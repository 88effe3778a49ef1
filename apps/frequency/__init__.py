"""The frequency room: let some waves of a photo pass, and see what the model says and what its layers hold."""

from apps.frequency.poster import poster
from apps.frequency.room import CSS, SUBTITLE, TITLE, build

__all__ = ["CSS", "SUBTITLE", "TITLE", "build", "poster"]
