"""How we look: each probe is a function of tensors, then a thin function of a model and images. No figures here."""
