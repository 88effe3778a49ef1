"""The receptive-field room: click a unit, and see how far it can see and how far it does, in two models."""

from apps.field.poster import poster
from apps.field.room import CSS, SUBTITLE, TITLE, build

__all__ = ["CSS", "SUBTITLE", "TITLE", "build", "poster"]
