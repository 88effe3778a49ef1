"""What of a picture deserves a closer look, and what can be left out: choices made by a trained model's own tokens."""
