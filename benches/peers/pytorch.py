"""ResNet-20 and matrix products in PyTorch on CPU.

    python pytorch.py train|qat|infer|infer_int8|gemm|gemm_int8 --threads 1 --batch 128 [--isa native|no-amx|avx2]

Images are channels_last, f32 products are never rounded to bf16. `infer_int8` is PT2E quantization with the x86
quantizer (torchao), compiled by Inductor, and the older FX quantization; products of integers go through oneDNN (u8 x s8).
"""

import network
import peer


def start(args):
    import torch

    torch.set_num_threads(args.threads)
    torch.set_float32_matmul_precision("highest")
    torch.manual_seed(1)
    if args.isa == "avx2":
        import torch._inductor.config as inductor

        inductor.cpp.simdlen, inductor.cpp.march = 256, "haswell"
    return torch


def versions(torch):
    onednn = next((line for line in torch.__config__.show().split("\n") if "MKL-DNN" in line), "")
    return {"torch": torch.__version__.split("+")[0], "onednn": onednn.split("MKL-DNN v")[-1].split(" ")[0]}


def batch(torch, n):
    x, labels = network.batch_of(n)
    return torch.from_numpy(x).to(memory_format=torch.channels_last), torch.from_numpy(labels)


def training(args, kinds):
    """Gradients and Nesterov's update. Eager and compiled."""
    torch = start(args)
    import torch.nn.functional as F

    x, labels = batch(torch, args.batch)

    def step_of(kinds, compile):
        torch.manual_seed(1)
        net = network.resnet20(*kinds, weights=args.weights).to(memory_format=torch.channels_last)
        run = torch.compile(net) if compile else net
        sgd = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4)

        def step():
            sgd.zero_grad(set_to_none=True)
            F.cross_entropy(run(x), labels, label_smoothing=0.1).backward()
            sgd.step()

        return step

    settings, notes = {}, {}
    for name, layers in kinds(torch).items():
        for mode in ("eager", "compiled"):
            step = step_of(layers, mode == "compiled")
            key = f"{name} {mode}".strip()
            try:
                step()
                settings[key] = step
            except Exception as e:
                notes[key] = f"failed: {type(e).__name__}: {e}"[:200]
    return peer.Job(args.batch, settings, versions(torch), notes=notes)


def fake_quantized(torch):
    """Layers with fake quantization: u8 activations by a moving range, s8 weights; in two spellings of PyTorch's."""
    import torch.nn as nn
    import torch.nn.functional as F
    from torch.ao.quantization import FakeQuantize, FusedMovingAvgObsFakeQuantize, MovingAverageMinMaxObserver

    def layers(kind):
        def quantizers():
            x = kind(MovingAverageMinMaxObserver, quant_min=0, quant_max=255, dtype=torch.quint8)
            w = kind(
                MovingAverageMinMaxObserver, quant_min=-128, quant_max=127, dtype=torch.qint8,
                qscheme=torch.per_tensor_symmetric,
            )  # fmt: skip
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

        return QConv2d, QLinear

    return {"FakeQuantize": layers(FakeQuantize), "fused": layers(FusedMovingAvgObsFakeQuantize)}


def inference(args):
    torch = start(args)
    import torch._inductor.config as inductor

    inductor.freezing = True
    x, _ = batch(torch, args.batch)
    net = network.resnet20(weights=args.weights).eval().to(memory_format=torch.channels_last)
    runs = {"eager": net, "compiled": torch.compile(net)}
    if args.batch < 16:  # where the cost of a call from Python counts
        runs["compiled, C++ wrapper"] = torch.compile(net, options={"cpp_wrapper": True})
    return ways(args, torch, x, runs)


def ways(args, torch, x, runs):
    """The job that runs each of `runs`, those that work."""
    settings, notes, top1 = {}, {}, {}

    def call_of(run):
        def call():
            with torch.inference_mode():
                return run(x)

        return call

    def logits_of(run):
        def logits(part):
            with torch.inference_mode():
                return run(torch.from_numpy(part).to(memory_format=torch.channels_last)).numpy()

        return logits

    for name, run in runs.items():
        try:
            call_of(run)()
            top1[name] = network.top1(logits_of(run), args.batch)
            settings[name] = call_of(run)
        except Exception as e:
            notes[name] = f"failed: {type(e).__name__}: {e}"[:300]
    if not settings:
        raise RuntimeError(str(notes))
    return peer.Job(args.batch, settings, versions(torch), top1, notes, peer.calls_of(args.batch))


def inference_int8(args):
    torch = start(args)
    import torch._inductor.config as inductor
    import torchao
    import torchao.quantization.pt2e.quantizer.x86_inductor_quantizer as x86
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    inductor.freezing = True
    x, _ = batch(torch, args.batch)
    net = network.resnet20(weights=args.weights).eval().to(memory_format=torch.channels_last)
    calibration = torch.from_numpy(network.images(network.TRAIN, 256)[0]).to(memory_format=torch.channels_last)

    def quantized():
        with torch.no_grad():
            exported = torch.export.export(net, (x,)).module()
            quantizer = x86.X86InductorQuantizer()
            quantizer.set_global(x86.get_default_x86_inductor_quantization_config())
            prepared = prepare_pt2e(exported, quantizer)
            n = len(x)
            for i in range(0, max(256 // n, 1)):
                part = calibration[i * n : (i + 1) * n]
                prepared(part if len(part) == n else calibration.repeat(-(-n // 256), 1, 1, 1)[:n])
            return convert_pt2e(prepared)

    runs = {"PT2E compiled": torch.compile(quantized())}
    if args.batch < 16:
        runs["PT2E compiled, C++ wrapper"] = torch.compile(quantized(), options={"cpp_wrapper": True})
    notes = {}
    try:
        from torch.ao.quantization import get_default_qconfig_mapping
        from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

        for engine in ("x86", "onednn"):
            torch.backends.quantized.engine = engine
            prepared = prepare_fx(net, get_default_qconfig_mapping(engine), (x,))
            with torch.no_grad():
                prepared(calibration)
            runs[f"FX {engine}"] = convert_fx(prepared)
    except Exception as e:
        notes["FX"] = f"failed: {type(e).__name__}: {e}"[:300]
    job = ways(args, torch, x, runs)
    job.notes.update(notes)
    job.versions["torchao"] = torchao.__version__
    return job


def product(args):
    torch = start(args)
    m, n, k = map(int, args.shape.split(","))
    a, b, c = torch.randn(m, k), torch.randn(k, n), torch.empty(m, n)
    # Weights packed once, as Inductor does with frozen ones.
    weight = b.t().contiguous()
    mkl = torch.ops.mkl._mkl_reorder_linear_weight(weight, m)
    onednn = torch.ops.mkldnn._reorder_linear_weight(weight, m)
    settings = {
        "mm (MKL)": lambda: torch.mm(a, b, out=c),
        "packed (MKL)": lambda: torch.ops.mkl._mkl_linear(a, mkl, weight, None, m),
        "packed (oneDNN)": lambda: torch.ops.mkldnn._linear_pointwise(a, onednn, None, "none", [], ""),
    }
    return peer.Job(2e-9 * m * n * k, settings, versions(torch))


def product_int8(args):
    torch = start(args)
    m, n, k = map(int, args.shape.split(","))
    a, w = torch.randint(0, 256, (m, k), dtype=torch.uint8), torch.randint(-128, 128, (n, k), dtype=torch.int8)
    packed = torch.ops.onednn.qlinear_prepack(w, [m, k])
    scales, zeros = torch.ones(n), torch.zeros(n, dtype=torch.int32)

    def onednn(kind):
        return lambda: torch.ops.onednn.qlinear_pointwise(
            a, 1.0, 0, packed, scales, zeros, None, 1.0 if kind == torch.float32 else 4096.0, 0, kind, "none", [], ""
        )

    signed, across = a.view(torch.int8), w.t()
    settings = {
        "u8 x s8, f32 out (oneDNN)": onednn(torch.float32),
        "u8 x s8, u8 out (oneDNN)": onednn(torch.uint8),
        "s8 x s8, s32 out (_int_mm)": lambda: torch._int_mm(signed, across),
    }
    exact = (a[:8].double() @ w.double().t()).float()
    notes = {"exact": bool((settings["u8 x s8, f32 out (oneDNN)"]()[:8] == exact).all())}
    return peer.Job(2e-9 * m * n * k, settings, versions(torch), notes=notes)


if __name__ == "__main__":
    peer.main(
        {
            "train": lambda args: training(args, lambda torch: {"": ()}),
            "qat": lambda args: training(args, fake_quantized),
            "infer": inference,
            "infer_int8": inference_int8,
            "gemm": product,
            "gemm_int8": product_int8,
        }
    )
