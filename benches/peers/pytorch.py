"""ResNet-20 (option B) in PyTorch on CPU: training step, fake-quantized training step, inference.

    python pytorch.py --threads 1 [--batch 128] [--repeat 15]

Prints one JSON object: images/s, medians. The same work as `cli bench train|qat|infer`.
"""

import argparse
import json
import statistics
import time

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.ao.quantization import FakeQuantize, MovingAverageMinMaxObserver


class Block(nn.Module):
    def __init__(self, c, o, stride, conv):
        super().__init__()
        self.conv1, self.bn1 = conv(c, o, 3, stride, 1, bias=False), nn.BatchNorm2d(o)
        self.conv2, self.bn2 = conv(o, o, 3, 1, 1, bias=False), nn.BatchNorm2d(o)
        self.downsample = nn.Identity()
        if stride != 1:
            self.downsample = nn.Sequential(conv(c, o, 1, stride, bias=False), nn.BatchNorm2d(o))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.downsample(x))


class ResNet20(nn.Module):
    def __init__(self, conv=nn.Conv2d, linear=nn.Linear):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        blocks, c = [], 16
        for stage, o in enumerate((16, 32, 64)):
            for block in range(3):
                blocks.append(Block(c, o, 2 if stage and not block else 1, conv))
                c = o
        self.blocks, self.fc = nn.Sequential(*blocks), linear(64, 10)

    def forward(self, x):
        x = self.blocks(F.relu(self.bn1(self.conv1(x))))
        return self.fc(x.mean((2, 3)))


def quantizers():
    x = FakeQuantize(MovingAverageMinMaxObserver, quant_min=0, quant_max=255, dtype=torch.quint8)
    w = FakeQuantize(MovingAverageMinMaxObserver, quant_min=-128, quant_max=127, dtype=torch.qint8, qscheme=torch.per_tensor_symmetric)
    return x, w


class QConv2d(nn.Conv2d):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.qx, self.qw = quantizers()

    def forward(self, x):
        return F.conv2d(self.qx(x), self.qw(self.weight), self.bias, self.stride, self.padding)


class QLinear(nn.Linear):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.qx, self.qw = quantizers()

    def forward(self, x):
        return F.linear(self.qx(x), self.qw(self.weight), self.bias)


def median_rate(images, repeat, f):
    for _ in range(3):
        f()
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        f()
        times.append(time.perf_counter() - start)
    return images / statistics.median(times)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--no-compile", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    x = torch.randn(args.batch, 3, 32, 32).to(memory_format=torch.channels_last)
    labels = torch.arange(args.batch) % 10
    result = {"torch": torch.__version__, "threads": args.threads, "batch": args.batch}

    def step_of(network, run):
        optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4)

        def step():
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(run(x), labels, label_smoothing=0.1).backward()
            optimizer.step()

        return step

    def fresh(*kinds):
        return ResNet20(*kinds).to(memory_format=torch.channels_last)

    network = fresh()
    result["train_eager"] = median_rate(args.batch, args.repeat, step_of(network, network))
    network = fresh(QConv2d, QLinear)
    result["qat_eager"] = median_rate(args.batch, args.repeat, step_of(network, network))
    network = fresh().eval()
    with torch.inference_mode():
        result["infer_eager"] = median_rate(args.batch, args.repeat, lambda: network(x))
    if not args.no_compile:
        network = fresh()
        result["train_compiled"] = median_rate(args.batch, args.repeat, step_of(network, torch.compile(network)))
        network = fresh().eval()
        compiled = torch.compile(network)
        with torch.inference_mode():
            result["infer_compiled"] = median_rate(args.batch, args.repeat, lambda: compiled(x))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
