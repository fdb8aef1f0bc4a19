"""ResNet-20 and matrix products in ONNX Runtime on CPU.

    python onnx_runtime.py infer|infer_int8|gemm|gemm_int8 --threads 1 --batch 128 [--isa native|no-amx|avx2]

Integers: static quantization, QDQ, u8 activations and s8 weights per channel, as its documentation recommends on x86.
"""

import os

import network
import peer

HERE = os.path.dirname(os.path.abspath(__file__))


def session(model, threads, batch, **entries):
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_free_dimension_override_by_name("batch", batch)
    options.log_severity_level = 3
    for key, value in entries.items():
        options.add_session_config_entry(key.replace("__", "."), value)
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def bound(s, x):
    """A call without copies: input and output are bound once."""
    import numpy as np
    import onnxruntime as ort

    binding = s.io_binding()
    keep = ort.OrtValue.ortvalue_from_numpy(x)
    binding.bind_ortvalue_input(s.get_inputs()[0].name, keep)
    out = s.run(None, {s.get_inputs()[0].name: x})[0]
    binding.bind_ortvalue_output(s.get_outputs()[0].name, ort.OrtValue.ortvalue_from_numpy(np.zeros_like(out)))
    return lambda: s.run_with_iobinding(binding)


def quantized(args):
    """Path of the quantized ONNX file, calibrated on 256 training images."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    path = os.path.join(args.cache, "resnet20_int8.onnx")
    if os.path.exists(path):
        return path

    class Images(CalibrationDataReader):
        def __init__(self):
            self.parts = iter(network.images(network.TRAIN, 256)[0].reshape(8, 32, 3, 32, 32))

        def get_next(self):
            part = next(self.parts, None)
            return None if part is None else {"x": part}

    ready = os.path.join(args.cache, "resnet20_ready.onnx")
    quant_pre_process(network.onnx_file(args.cache, args.weights), ready, skip_symbolic_shape=True)
    part = path + f".{os.getpid()}"
    quantize_static(
        ready, part, Images(), quant_format=QuantFormat.QDQ, per_channel=True,
        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
    )  # fmt: skip
    os.replace(part, path)
    return path


def infer(args, model):
    import onnxruntime as ort

    x, _ = network.batch_of(args.batch)
    s = session(model, args.threads, args.batch)
    settings = {"io binding": bound(s, x)}
    if args.threads > 1:
        quiet = session(model, args.threads, args.batch, session__intra_op__allow_spinning="0")
        settings["io binding, no spinning"] = bound(quiet, x)
    top1 = network.top1(lambda part: s.run(None, {"x": part})[0], args.batch)
    versions = {"onnxruntime": ort.__version__}
    return peer.Job(args.batch, settings, versions, {"top1": top1}, calls=peer.calls_of(args.batch))


def product(args, integers):
    import numpy as np
    import onnx
    import onnxruntime as ort
    from onnx import TensorProto, helper, numpy_helper

    m, n, k = map(int, args.shape.split(","))
    rng = np.random.default_rng(1)
    if integers:
        a, b = rng.integers(0, 256, (m, k), np.uint8), rng.integers(-128, 128, (k, n), np.int8)
        kinds, operator = (TensorProto.UINT8, TensorProto.INT32), "MatMulInteger"
    else:
        a, b = rng.standard_normal((m, k), np.float32), rng.standard_normal((k, n), np.float32)
        kinds, operator = (TensorProto.FLOAT, TensorProto.FLOAT), "MatMul"
    graph = helper.make_graph(
        [helper.make_node(operator, ["a", "b"], ["c"])],
        "product",
        [helper.make_tensor_value_info("a", kinds[0], [m, k])],
        [helper.make_tensor_value_info("c", kinds[1], [m, n])],
        [numpy_helper.from_array(b, "b")],  # constant: packed once
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    s = session(model.SerializeToString(), args.threads, m)
    notes = {}
    if integers:
        # Its kernels for AVX2 saturate: exact only for small weights.
        exact = a[:8].astype(np.int32) @ b.astype(np.int32)
        notes["exact"] = bool((s.run(None, {"a": a})[0][:8] == exact).all())
    return peer.Job(2e-9 * m * n * k, {operator: bound(s, a)}, {"onnxruntime": ort.__version__}, notes=notes)


if __name__ == "__main__":
    peer.main(
        {
            "infer": lambda args: infer(args, network.onnx_file(args.cache, args.weights)),
            "infer_int8": lambda args: infer(args, quantized(args)),
            "gemm": lambda args: product(args, False),
            "gemm_int8": lambda args: product(args, True),
        }
    )
