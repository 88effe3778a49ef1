from torch import nn


class Tap(nn.Identity):
    def __init__(self, axes):
        super().__init__()
        self.axes = axes
