"""The papers room: search the exhibits, read the label on the wall, turn the knobs of the experiment."""

from apps.papers.poster import poster
from apps.papers.room import CSS, SUBTITLE, TITLE, build

__all__ = ["CSS", "SUBTITLE", "TITLE", "build", "poster"]
