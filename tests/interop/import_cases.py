"""Files as people have them, made by PyTorch from one network: what this project must read, and what it must refuse.

Each case has a name, what is saved, further arguments of `eval`, and what is expected of it: True, the same class for every
image; a number, that share of them; text, a refusal that says so.
"""

import argparse

import torch
from torch import nn

from definitions import ResNet20


def converted(state_dict, dtype):
    return {k: v.to(dtype) if v.is_floating_point() else v for k, v in state_dict.items()}


def prefixed(state_dict, prefix):
    return {prefix + name: tensor for name, tensor in state_dict.items()}


def renamed(state_dict):
    """`linear` for `fc`, `shortcut` for `downsample`."""
    return {k.replace("fc.", "linear.").replace(".downsample.", ".shortcut."): v for k, v in state_dict.items()}


def without_counters(state_dict):
    return {k: v for k, v in state_dict.items() if not k.endswith("num_batches_tracked")}


def cases(state_dict):
    """Name, object, arguments of torch.save, arguments of eval, expectation."""
    legacy = {"_use_new_zipfile_serialization": False}
    zeros = {k: torch.zeros_like(v) for k, v in state_dict.items()}
    training = {"epoch": 7, "best": 93.41, "args": argparse.Namespace(lr=0.1), "optimizer": {"state": {}, "lr": 0.1}}
    model = ResNet20("B", "downsample")
    model.load_state_dict(state_dict)
    plain = [
        ("plain", state_dict),
        ("linear and shortcut", renamed(state_dict)),
        ("without num_batches_tracked", without_counters(state_dict)),
        ("module.", prefixed(state_dict, "module.")),
        ("_orig_mod.", prefixed(state_dict, "_orig_mod.")),
        ("_orig_mod.module.", prefixed(state_dict, "_orig_mod.module.")),
        ("state_dict, beside an optimizer", {**training, "state_dict": prefixed(state_dict, "module.")}),
        ("model", {**training, "model": state_dict}),
        ("net", {"net": renamed(state_dict), "acc": 93.41, "epoch": 1}),
        ("ema", {"ema": state_dict}),
        ("nested twice", {"checkpoint": {"model": state_dict}}),
        ("parameters, not tensors", dict(model.named_parameters()) | dict(model.named_buffers())),
        ("float64", converted(state_dict, torch.float64)),
    ]
    found = [(name, saved, {}, [], True) for name, saved in plain]
    found += [(f"{name}, legacy", saved, legacy, [], True) for name, saved in plain]
    found += [
        ("float16", converted(state_dict, torch.float16), {}, [], 99.0),
        ("bfloat16", converted(state_dict, torch.bfloat16), legacy, [], 97.0),
        ("model and ema", {"model": zeros, "ema": state_dict}, {}, ["--weights-key", "ema"], True),
        ("model and ema, none chosen", {"model": zeros, "ema": state_dict}, {}, [], "choose one with --weights-key"),
        ("a whole model", model, {}, [], "refuses to execute `definitions.ResNet20`"),
        ("another network", nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)).state_dict(), {}, [], "needed"),
        ("a wider one", {**state_dict, "conv1.weight": torch.zeros(64, 3, 7, 7)}, {}, [], "[64, 3, 7, 7]"),
        ("a fourth stage", {**state_dict, "layer4.0.conv1.weight": torch.zeros(9)}, {}, [], "layer4"),
        ("100 classes", {**state_dict, "fc.weight": torch.zeros(100, 64)}, {}, [], "[100, 64]"),
        ("integers", {**state_dict, "fc.weight": torch.zeros(10, 64, dtype=torch.int8)}, {}, [], "whole numbers"),
    ]
    return found


def save(saved, path, arguments):
    torch.save(saved, path, **arguments)
