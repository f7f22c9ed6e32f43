"""Writes GPT-2 124M with random weights as ONNX graphs with a key/value cache, for onnxruntime.mjs.

    python3 build_onnx.py FOLDER        -> FOLDER/gpt2_float32.onnx, FOLDER/gpt2_int8.onnx

float32: MatMul and Gemm. int8: DynamicQuantizeMatMul, one scale a column of the weights, activations quantised
as they come; that is the operator onnxruntime's own quantisation arrives at for linear layers.
Both use onnxruntime's fused attention (MultiHeadAttention) and GELU (FastGelu).
"""
import pathlib
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from weights import N_EMBD, N_HEAD, N_LAYER, random_parameters

CONTRIB = "com.microsoft"
HEAD_SHAPE = N_EMBD // N_HEAD


class Graph:
    """Nodes and constants, added one by one; every method returns the name of a value."""

    def __init__(self, parameters, precision):
        self.parameters, self.precision = parameters, precision
        self.nodes, self.constants = [], {}

    def constant(self, name, values):
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(values), name)
        return name

    def parameter(self, name):
        return self.constant(name, self.parameters[name])

    def add(self, kind, inputs, outputs=None, domain="", **attributes):
        outputs = outputs or [f"{kind}_{len(self.nodes)}"]
        self.nodes.append(helper.make_node(kind, inputs, outputs, domain=domain, **attributes))
        return outputs[0]

    def norm(self, x, name):
        inputs = [x, self.parameter(name + "/g"), self.parameter(name + "/b")]
        return self.add("LayerNormalization", inputs, epsilon=1e-5, axis=-1)

    def quantized(self, x, name, weights, bias=None):
        scale = (np.abs(weights).max(axis=0) / 127).astype(np.float32)  # [n_out]
        rounded = np.round(weights / scale).astype(np.int8)  # [n_in, n_out]
        inputs = [x, self.constant(name + "/int8", rounded), self.constant(name + "/scale", scale)]
        if bias is not None:
            inputs += ["", bias]  # no zero point: the weights are symmetric
        return self.add("DynamicQuantizeMatMul", inputs, domain=CONTRIB)

    def linear(self, x, name):
        if self.precision == "int8":
            return self.quantized(x, name, self.parameters[name + "/w"], self.parameter(name + "/b"))
        product = self.add("MatMul", [x, self.parameter(name + "/w")])
        return self.add("Add", [product, self.parameter(name + "/b")])

    def logits(self, x):
        wte = self.parameter("model/wte")
        if self.precision == "int8":
            y = self.quantized(x, "model/wte", self.parameters["model/wte"].T)
            return self.add("Identity", [y], ["logits"])
        rows = self.add("Reshape", [x, self.constant("rows", np.array([-1, N_EMBD]))])
        return self.add("Gemm", [rows, wte], ["logits"], transB=1)


def build(parameters, precision):
    """ids, positions [batch, n], past_k0.. [batch, n_head, n_past, head] -> logits of the last position, k0.."""
    graph = Graph(parameters, precision)
    tokens = graph.add("Gather", [graph.parameter("model/wte"), "ids"])
    places = graph.add("Gather", [graph.parameter("model/wpe"), "positions"])
    x = graph.add("Add", [tokens, places])
    thirds = graph.constant("thirds", np.array([N_EMBD] * 3))
    for layer in range(N_LAYER):
        h = f"model/h{layer}"
        qkv = graph.linear(graph.norm(x, h + "/ln_1"), h + "/attn/c_attn")
        parts = [f"{part}_{layer}" for part in ("query", "key", "value")]
        graph.add("Split", [qkv, thirds], parts, axis=2)
        graph.add(
            "MultiHeadAttention",
            [*parts, "", "", "", f"past_k{layer}", f"past_v{layer}"],
            [f"attention_{layer}", f"k{layer}", f"v{layer}"],
            domain=CONTRIB,
            num_heads=N_HEAD,
            unidirectional=1,
        )
        x = graph.add("Add", [x, graph.linear(f"attention_{layer}", h + "/attn/c_proj")])
        hidden = graph.linear(graph.norm(x, h + "/ln_2"), h + "/mlp/c_fc")
        hidden = graph.add("FastGelu", [hidden], domain=CONTRIB)
        x = graph.add("Add", [x, graph.linear(hidden, h + "/mlp/c_proj")])
    begin, end, axis = (graph.constant(f"slice_{n}", np.array([n])) for n in (-1, 2**31 - 1, 1))
    x = graph.add("Slice", [x, begin, end, axis])  # [batch, n, n_embd] -> [batch, 1, n_embd]
    graph.logits(graph.norm(x, "model/ln_f"))

    def cache(prefix, length):
        shape = ["batch", N_HEAD, length, HEAD_SHAPE]
        names = [f"{prefix}{part}{layer}" for layer in range(N_LAYER) for part in "kv"]
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in names]

    ids = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "n"]) for name in ("ids", "positions")]
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)
    return helper.make_model(
        helper.make_graph(
            graph.nodes,
            "gpt2",
            ids + cache("past_", "n_past"),
            [logits, *cache("", "n_total")],
            list(graph.constants.values()),
        ),
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid(CONTRIB, 1)],
        ir_version=8,
    )


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: python3 build_onnx.py FOLDER")
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    parameters = dict(random_parameters())
    for precision in ("float32", "int8"):
        path = folder / f"gpt2_{precision}.onnx"
        onnx.save(build(parameters, precision), str(path))
        print(path)


main()
