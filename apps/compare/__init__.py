"""The compare room: several models before one picture, asked the same questions, with what each of them costs."""

from apps.compare.poster import poster
from apps.compare.room import CSS, SUBTITLE, TITLE, build

__all__ = ["CSS", "SUBTITLE", "TITLE", "build", "poster"]
