import argparse, collections, sys
import numpy as np
import torch

out = sys.argv[1]
w = {"conv1.weight": torch.arange(12.).reshape(2, 3, 2, 1) / 8, "fc.weight": torch.arange(6.).reshape(3, 2) - 2, "fc.bias": torch.tensor([.5, -1.5, 2.])}
save = lambda name, what, **how: torch.save(what, f"{out}/{name}", **how)
negative = dict(w)
negative["fc.weight"] = torch._neg_view(-w["fc.weight"])
save("tiny_negative_bit.pt", negative)
save("tiny_under_params.pt", {"epoch": 3, "params": w})
average = {name: -value for name, value in w.items()}
save("tiny_two_networks.pt", {"model": {"module." + name: value for name, value in w.items()}, "ema": [{"shadow": average}]})
save("tiny_beside.pt", {"args": argparse.Namespace(lr=.1), "optimizer": collections.defaultdict(dict, {0: {"momentum": .9}}),
                        "best": np.float64(93.4), "phase": torch.zeros(2, dtype=torch.complex64), "state_dict": {**w, "classes": 10, "extra": np.float64(1.)}})
save("tiny_weight_is_inert.pt", {**w, "fc.weight": argparse.Namespace()})
save("tiny_protocol0.pt", w, pickle_protocol=0)
save("tiny_protocol1.pt", {"lr": .1, "n": 1 << 70, "done": True, "state_dict": w}, pickle_protocol=1)
save("tiny_protocol1_legacy.pt", w, pickle_protocol=1, _use_new_zipfile_serialization=False)
save("tiny_int8.pt", {**w, "fc.weight": w["fc.weight"].to(torch.int8), "bn1.num_batches_tracked": torch.tensor(7)})
