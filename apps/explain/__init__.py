"""The explain room: which pixels decided? Two methods on one photo, RISE as it converges, a film that tests both."""

from apps.explain.poster import poster
from apps.explain.room import CSS, SUBTITLE, TITLE, build

__all__ = ["CSS", "SUBTITLE", "TITLE", "build", "poster"]
