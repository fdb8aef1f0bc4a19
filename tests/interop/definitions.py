"""CIFAR's ResNet-20 as it is commonly defined in PyTorch: option A and option B, each with its usual names."""

import torch.nn.functional as F
from torch import nn


def conv3x3(c, o, stride=1):
    return nn.Conv2d(c, o, 3, stride, padding=1, bias=False)


class Subsample(nn.Module):
    """Option A: every other pixel, and as many zero channels below as above. No parameters, so no names."""

    def __init__(self, zeros):
        super().__init__()
        self.zeros = zeros

    def forward(self, x):
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.zeros, self.zeros))


class Block(nn.Module):
    def __init__(self, c, o, stride, shortcut_name, option):
        super().__init__()
        self.conv1, self.bn1 = conv3x3(c, o, stride), nn.BatchNorm2d(o)
        self.conv2, self.bn2 = conv3x3(o, o), nn.BatchNorm2d(o)
        self.shortcut_name = shortcut_name
        if stride == 1:
            way = None
        elif option == "A":
            way = Subsample((o - c) // 2)
        else:
            way = nn.Sequential(nn.Conv2d(c, o, 1, stride, bias=False), nn.BatchNorm2d(o))
        self.add_module(shortcut_name, way)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        way = getattr(self, self.shortcut_name)
        return F.relu(y + (x if way is None else way(x)))


class ResNet20(nn.Module):
    """`names` is `downsample` (with `fc`) or `shortcut` (with `linear`)."""

    def __init__(self, option, names):
        super().__init__()
        self.conv1, self.bn1 = conv3x3(3, 16), nn.BatchNorm2d(16)
        widths = [(16, 16, 1), (16, 32, 2), (32, 64, 2)]
        for i, (c, o, stride) in enumerate(widths, 1):
            blocks = [Block(c, o, stride, names, option)] + [Block(o, o, 1, names, option) for _ in range(2)]
            self.add_module(f"layer{i}", nn.Sequential(*blocks))
        self.classifier = "fc" if names == "downsample" else "linear"
        self.add_module(self.classifier, nn.Linear(64, 10))

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        for layer in (self.layer1, self.layer2, self.layer3):
            x = layer(x)
        return getattr(self, self.classifier)(x.mean((2, 3)))
