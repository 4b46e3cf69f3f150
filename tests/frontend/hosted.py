"""Networks with nodes that have no instructions, for tests of what the host computes."""

import numpy as np
import onnx
from onnx import TensorProto, helper

from tests.frontend.small_onnx import Array, make, normals, op


def integers(*values: int) -> Array:
    """An int64 vector."""
    return np.array(values, np.int64)


def detector() -> onnx.ModelProto:
    """Three convolutions, a head with the boxes and classes of 64 cells, NonMaxSuppression, and the boxes it keeps."""
    nodes = [
        op("Conv", "x w1", "c1", pads=[1, 1, 1, 1], strides=[2, 2]), op("Relu", "c1", "r1"),
        op("Conv", "r1 w2", "c2", pads=[1, 1, 1, 1]), op("Relu", "c2", "r2"), op("Conv", "r2 w3", "head"),
        op("Reshape", "head cells", "flat"), op("Transpose", "flat", "rows", perm=[0, 2, 1]),
        op("Slice", "rows zero four two", "boxes"), op("Slice", "rows four seven two", "logits"),
        op("Sigmoid", "logits", "sure"), op("Transpose", "sure", "scores", perm=[0, 2, 1]),
        op("NonMaxSuppression", "boxes scores most overlap least", "kept"),
        op("Gather", "kept two", "column", axis=1), op("Squeeze", "column one", "chosen"),
        op("Squeeze", "boxes zero", "all"), op("Gather", "all chosen", "found", axis=0),
    ]  # fmt: skip
    weights: dict[str, Array] = {
        "w1": normals(8, 3, 3, 3), "w2": normals(8, 8, 3, 3) / 9, "w3": normals(7, 8, 1, 1) / 9,
        "cells": integers(1, 7, 64), "zero": integers(0), "four": integers(4), "seven": integers(7),
        "one": integers(1), "two": integers(2), "most": integers(5), "overlap": np.array([0.5], np.float32),
        "least": np.array([0.6], np.float32),
    }  # fmt: skip
    model = make(nodes, {"x": (1, 3, 16, 16)}, weights, ("found", "kept"))
    model.graph.output[1].type.tensor_type.elem_type = TensorProto.INT64
    return model


def lstm() -> onnx.ModelProto:
    """A classifier of sequences: an LSTM, and two layers on its last state."""
    nodes = [
        op("Transpose", "x", "steps", perm=[1, 0, 2]), op("LSTM", "steps w r b", "_ last", hidden_size=16),
        op("Squeeze", "last zero", "state"), op("Gemm", "state w1 b1", "z", transB=1), op("Relu", "z", "a"),
        op("Gemm", "a w2", "y"),
    ]  # fmt: skip
    nodes[1].output[0] = ""
    weights: dict[str, Array] = {
        "w": normals(1, 64, 8), "r": normals(1, 64, 16), "b": normals(1, 128), "zero": integers(0),
        "w1": normals(10, 16), "b1": normals(10), "w2": normals(10, 10),
    }  # fmt: skip
    return make(nodes, {"x": (1, 12, 8)}, weights)


def middle() -> onnx.ModelProto:
    """The host between two layers of the chip; one map passes by it. The end is the softmax of a map."""
    nodes = [
        op("Conv", "x w", "a"), op("Relu", "a", "b"), op("Conv", "b u", "by"), op("Softplus", "b", "c"),
        op("Conv", "c v", "d"), op("Add", "d by", "e"), op("Softmax", "e", "y", axis=1),
    ]  # fmt: skip
    weights = {name: normals(8, 8, 1, 1, seed=at) for at, name in enumerate("wuv")}
    return make(nodes, {"x": (1, 8, 4, 4)}, weights)


def library_operator(*, sized: bool) -> onnx.ModelProto:
    """An operator of the package onnxruntime-extensions: what is below zero, and what is above, a layer for each.

    sized: whether the file says how large they are, for a batch of any size; nothing else knows.
    """
    nodes = [
        op("Conv", "x w", "a"), op("NegPos", "a", "below above", domain="ai.onnx.contrib"), op("Conv", "below v", "b"),
        op("Conv", "above v", "c"), op("Add", "b c", "y"),
    ]  # fmt: skip
    model = make(nodes, {"x": ("N", 8, 4, 4)}, {"w": normals(8, 8, 1, 1), "v": normals(4, 8, 1, 1)})
    model.opset_import.append(helper.make_opsetid("ai.onnx.contrib", 1))
    if sized:
        shape = ("N", 8, 4, 4)
        tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("below", "above")]
        model.graph.value_info.extend(tensors)
    return model


def own_operator(*, function: bool) -> onnx.ModelProto:
    """An operator of a domain of its own between two layers; a local function may say what it computes."""
    nodes = [op("Conv", "x w", "a"), op("Bend", "a", "b", domain="my.own"), op("Conv", "b v", "y")]
    model = make(nodes, {"x": (1, 8, 4, 4)}, {"w": normals(8, 8, 1, 1), "v": normals(4, 8, 1, 1)})
    model.opset_import.append(helper.make_opsetid("my.own", 1))
    if function:
        body = [op("Softplus", "i", "e"), op("Softsign", "e", "o")]
        imports = [helper.make_opsetid("", 13)]
        model.functions.append(helper.make_function("my.own", "Bend", ["i"], ["o"], body, imports))
    return model
