"""An exported ONNX file: the standard's own checker, its types, and ONNX Runtime's classes."""

import collections

import numpy as np
import onnx
import onnxruntime

from cifar import normalise, numbers


def check(path, pixels, batch=500):
    """The classes of all images, and what the file holds: opset, and how many constants of each integer type."""
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    names = onnx.TensorProto.DataType.Name
    types = collections.Counter(names(tensor.data_type) for tensor in model.graph.initializer)
    about = {entry.key: entry.value for entry in model.metadata_props}
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1  # threads that wait for each other are slow beside other work
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    x = normalise(pixels, numbers(about["mean"]), numbers(about["std"]))
    logits = [session.run(["logits"], {"input": x[i : i + batch]})[0] for i in range(0, len(x), batch)]
    facts = {"opset": model.opset_import[0].version, "types": dict(sorted(types.items()))}
    return np.concatenate(logits).argmax(1), facts
