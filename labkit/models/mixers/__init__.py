"""Token mixers that any exhibit may be compared with: `b h w c -> b h w c`. A paper's own is in its exhibit."""
