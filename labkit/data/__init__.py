"""What we look with: photos, Tiny-ImageNet, scenes with known answers, and the way from a picture to a tensor."""
