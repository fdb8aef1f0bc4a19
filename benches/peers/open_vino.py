"""ResNet-20 in OpenVINO on CPU.

    python open_vino.py infer|infer_int8|infer_default --threads 1 --batch 128 [--isa native|no-amx|avx2]

`infer` computes in f32; `infer_default` is OpenVINO left to choose, which on processors with bf16 means bf16. Integers:
post-training quantization by NNCF. One request at a time with all threads, or a batch cut among as many streams as
there are threads: the better counts.
"""

import os

import network
import peer


def quantized(args):
    """Path of the quantized model, calibrated on 300 training images."""
    import nncf
    import openvino as ov

    path = os.path.join(args.cache, "resnet20_int8.xml")
    if not os.path.exists(path):
        model = ov.convert_model(network.onnx_file(args.cache, args.weights))
        model.reshape([1, 3, 32, 32])
        x = network.images(network.TRAIN, 300)[0]
        data = nncf.Dataset([x[i : i + 1] for i in range(len(x))])
        model = nncf.quantize(model, data, subset_size=300)
        ov.save_model(model, path, compress_to_fp16=False)
    return path


def compiled(path, batch, properties):
    import openvino as ov

    core = ov.Core()
    model = core.read_model(path)
    model.reshape([batch, 3, 32, 32])
    return core.compile_model(model, "CPU", properties)


def one_request(path, x, properties):
    import numpy as np
    import openvino as ov

    model = compiled(path, len(x), {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1, **properties})
    request = model.create_infer_request()
    request.set_input_tensor(ov.Tensor(x, shared_memory=True))

    def run():
        request.start_async()
        request.wait()

    def logits(part):
        np.copyto(request.get_input_tensor().data, part)
        run()
        return request.get_output_tensor().data.copy()

    return run, logits, model


def streams(path, x, n, properties):
    """The batch cut into `n` requests, each on its own stream."""
    import numpy as np
    import openvino as ov

    model = compiled(path, len(x) // n, {"PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": n, **properties})
    requests = [model.create_infer_request() for _ in range(n)]
    for request, part in zip(requests, np.split(x, n)):
        request.set_input_tensor(ov.Tensor(np.ascontiguousarray(part)))

    def run():
        for request in requests:
            request.start_async()
        for request in requests:
            request.wait()

    return run


def infer(args, path, properties):
    import openvino as ov

    x, _ = network.batch_of(args.batch)
    properties = {"INFERENCE_NUM_THREADS": args.threads, **properties}
    run, logits, model = one_request(path, x, properties)
    top1 = network.top1(logits, args.batch)
    settings = {"1 stream": run}
    if args.threads > 1 and args.batch % args.threads == 0:
        settings[f"{args.threads} streams"] = streams(path, x, args.threads, properties)
    kinds = {}
    for node in model.get_runtime_model().get_ordered_ops():
        info = node.get_rt_info()
        if info["layerType"].astype(str) in ("Convolution", "FullyConnected"):
            kind = info["primitiveType"].astype(str)
            kinds[kind] = kinds.get(kind, 0) + 1
    precision = str(model.get_property("INFERENCE_PRECISION_HINT"))
    return peer.Job(
        args.batch, settings, {"openvino": ov.get_version().split("-")[0]}, {"top1": top1},
        {"kernels": kinds, "precision": precision}, peer.calls_of(args.batch),
    )  # fmt: skip


if __name__ == "__main__":
    peer.main(
        {
            "infer": lambda args: infer(
                args, network.onnx_file(args.cache, args.weights), {"INFERENCE_PRECISION_HINT": "f32"}
            ),
            "infer_default": lambda args: infer(args, network.onnx_file(args.cache, args.weights), {}),
            "infer_int8": lambda args: infer(args, quantized(args), {"INFERENCE_PRECISION_HINT": "f32"}),
        }
    )
