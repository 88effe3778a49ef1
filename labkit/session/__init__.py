"""A photo and a model, read once: what every window on the lab (notebook, app, terminal) shows."""

from labkit.session.covers import Covered, cover
from labkit.session.looks import Look, as_csv, look
from labkit.session.sitting import MOST_MODELS, Fitted, Sitting, halving, sit

__all__ = ["MOST_MODELS", "Covered", "Fitted", "Look", "Sitting", "as_csv", "cover", "halving", "look", "sit"]
