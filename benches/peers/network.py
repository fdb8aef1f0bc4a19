"""ResNet-20 (shortcut option B) in PyTorch, its weights, real images, and its ONNX file: the one network all runtimes run.

    python network.py export FILE.onnx [--weights FILE.safetensors]
"""

import argparse
import hashlib
import os
import subprocess
import sys

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
ASSETS = os.path.join(HERE, "..", "..", "models", "assets")
WEIGHTS = os.path.join(ASSETS, "ResNet20.safetensors")
TRAIN = os.path.join(ASSETS, "cifar10-slice", "data_batch_1.bin")
TEST = os.path.join(ASSETS, "cifar10-slice", "test_batch.bin")
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)


def images(path, count):
    """`count` normalised images (N, 3, 32, 32) and their labels from CIFAR-10's binary format."""
    records = np.fromfile(path, np.uint8).reshape(-1, 3073)[:count]
    x = records[:, 1:].reshape(-1, 3, 32, 32).astype(np.float32) / 255
    x = (x - np.float32(MEAN).reshape(3, 1, 1)) / np.float32(STD).reshape(3, 1, 1)
    return x, records[:, 0].astype(np.int64)


def batch_of(n):
    """The batch that is timed: training images, repeated if there are too few."""
    x, labels = images(TRAIN, n)
    times = -(-n // len(x))
    return np.ascontiguousarray(np.tile(x, (times, 1, 1, 1))[:n]), np.tile(labels, times)[:n]


def top1(logits_of, batch):
    """Accuracy (percent) on the bundled test images: a runtime that is fast and wrong is found out here."""
    x, labels = images(TEST, 1000)
    right = 0
    for start in range(0, len(x), batch):
        part = x[start : start + batch]
        full = np.concatenate([part, np.zeros((batch - len(part), 3, 32, 32), np.float32)])
        answer = np.asarray(logits_of(full)).argmax(1)[: len(part)]
        right += int((answer == labels[start : start + batch]).sum())
    return 100 * right / len(x)


def resnet20(conv=None, linear=None, weights=None):
    """The network with the given kinds of layers; the first convolution is always a plain one."""
    import torch.nn as nn
    import torch.nn.functional as F

    conv, linear = conv or nn.Conv2d, linear or nn.Linear

    class Block(nn.Module):
        def __init__(self, c, o, stride):
            super().__init__()
            self.conv1, self.bn1 = conv(c, o, 3, stride, 1, bias=False), nn.BatchNorm2d(o)
            self.conv2, self.bn2 = conv(o, o, 3, 1, 1, bias=False), nn.BatchNorm2d(o)
            self.downsample = None
            if stride != 1:
                self.downsample = nn.Sequential(conv(c, o, 1, stride, bias=False), nn.BatchNorm2d(o))

        def forward(self, x):
            y = F.relu(self.bn1(self.conv1(x)))
            shortcut = x if self.downsample is None else self.downsample(x)
            return F.relu(self.bn2(self.conv2(y)) + shortcut)

    class ResNet20(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
            c = 16
            for stage, o in enumerate((16, 32, 64)):
                blocks = []
                for block in range(3):
                    blocks.append(Block(c, o, 2 if stage and not block else 1))
                    c = o
                setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
            self.pool, self.fc = nn.AdaptiveAvgPool2d(1), linear(64, 10)

        def forward(self, x):
            x = F.relu(self.bn1(self.conv1(x)))
            x = self.layer3(self.layer2(self.layer1(x)))
            return self.fc(self.pool(x).flatten(1))

    network = ResNet20()
    if weights:
        from safetensors.torch import load_file

        answer = network.load_state_dict(load_file(weights), strict=False)
        # Quantizers of a fake-quantized network and PyTorch's counters are not in the file.
        missing = [k for k in answer.missing_keys if not k.endswith("num_batches_tracked") and ".q" not in k]
        if missing or answer.unexpected_keys:
            raise SystemExit(f"{weights}: missing {missing}, unexpected {answer.unexpected_keys}")
    return network


def export(path, weights):
    """Writes the ONNX file, any number of images."""
    import torch

    network = resnet20(weights=weights).eval()
    batch = torch.export.Dim("batch", min=1, max=4096)
    torch.onnx.export(
        network, (torch.zeros(2, 3, 32, 32),), path, input_names=["x"], output_names=["logits"], dynamo=True,
        dynamic_shapes=({0: batch},), external_data=False, verbose=False,
    )  # fmt: skip


def folder(cache, weights):
    """Where what was made of these weights is kept: other weights, another folder."""
    with open(weights, "rb") as f:
        path = os.path.join(cache, hashlib.sha256(f.read()).hexdigest()[:12])
    os.makedirs(path, exist_ok=True)
    return path


def onnx_file(cache, weights):
    """Path of the ONNX file, made by another process if it is not there: PyTorch stays out of this one."""
    path = os.path.join(cache, "resnet20.onnx")
    if not os.path.exists(path):
        part = f"{path}.{os.getpid()}"
        command = [sys.executable, os.path.abspath(__file__), "export", part, "--weights", weights]
        plain = {k: v for k, v in os.environ.items() if k not in ("LD_PRELOAD", "CPUID_MASK", "ONEDNN_MAX_CPU_ISA")}
        subprocess.run(command, check=True, env=plain, stdout=sys.stderr)
        os.replace(part, path)
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("verb", choices=["export"])
    parser.add_argument("path")
    parser.add_argument("--weights", default=WEIGHTS)
    args = parser.parse_args()
    export(args.path, args.weights)
