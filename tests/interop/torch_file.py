"""Exported PyTorch and safetensors files in PyTorch: read without executing anything, loaded with strict=True, run."""

import json

import numpy as np
import safetensors
import safetensors.torch
import torch

from cifar import normalise
from definitions import ResNet20

torch.set_num_threads(1)  # threads that wait for each other are slow beside other work


def read_pt(path):
    """State dictionary and grids (empty for floats) of a .pt file."""
    file = torch.load(path, weights_only=True)
    return (file["state_dict"], file["fake_quantize"]) if "fake_quantize" in file else (file, {})


def read_safetensors(path):
    """The same of a safetensors file; the grids are in its metadata."""
    with safetensors.safe_open(path, "pt") as file:
        grids = json.loads(file.metadata().get("fake_quantize", "{}"))
    for grid in (grid for layer in grids.values() for grid in layer.values()):
        grid["scale"], grid["zero_point"] = torch.tensor(grid["scale"]), torch.tensor(grid["zero_point"])
    return safetensors.torch.load_file(path), grids


def same(a, b):
    """Whether two state dictionaries hold the same names, types, shapes and numbers."""
    return set(a) == set(b) and all(a[k].dtype == b[k].dtype and torch.equal(a[k], b[k]) for k in a)


def network(state_dict, option, names, grids):
    """The definition with these weights. The input of a layer with a grid is fake-quantized; weights already are."""
    model = ResNet20(option, names)
    model.load_state_dict(state_dict, strict=True)
    modules = dict(model.named_modules())
    for name, layer in grids.items():
        grid = layer["input"]
        arguments = (float(grid["scale"]), int(grid["zero_point"]), grid["quant_min"], grid["quant_max"])
        quantize = lambda _, x, arguments=arguments: torch.fake_quantize_per_tensor_affine(x[0], *arguments)
        modules[name].register_forward_pre_hook(quantize)
    return model.eval()


def weights_are_on_their_grids(state_dict, grids):
    """Whether fake quantization by the weights' own grids leaves every weight as it is."""

    def kept(name, grid):
        weight, ends = state_dict[f"{name}.weight"], (grid["quant_min"], grid["quant_max"])
        scale, zero_point = grid["scale"].reshape(-1), grid["zero_point"].reshape(-1).int()
        if len(scale) == 1:
            again = torch.fake_quantize_per_tensor_affine(weight, float(scale), int(zero_point), *ends)
        else:
            again = torch.fake_quantize_per_channel_affine(weight, scale, zero_point, 0, *ends)
        return torch.equal(again, weight)

    return all(kept(name, layer["weight"]) for name, layer in grids.items() if "weight" in layer)


@torch.no_grad()
def classes(model, pixels, mean, std, batch=500):
    """The classes of all images."""
    x = torch.from_numpy(normalise(pixels, mean, std))
    logits = [model(x[i : i + batch]) for i in range(0, len(x), batch)]
    return np.concatenate([l.numpy() for l in logits]).argmax(1)
