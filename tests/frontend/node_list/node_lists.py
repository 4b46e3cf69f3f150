"""node_list documents for tests, written the way PIMCOMP-NN's front end writes them: every reference in triplicate."""

import copy
import json
from typing import Any

Entry = dict[str, Any]


def entry(
    name: str, operation: str, providers: list[str], dims: list[int], param: Entry | None = None, **extra: Any
) -> Entry:
    """One entry without the redundant fields; `document` adds them."""
    fields: Entry = {"name": name, "operation": operation, "provider": providers, "output_dim": dims, **extra}
    return fields if param is None else {**fields, "param": param}


def kernel(size: int, stride: int = 1, pad: int = 0, **more: int) -> Entry:
    """`param` of a square window with equal pads."""
    pads = dict.fromkeys(("pad_h0", "pad_h1", "pad_w0", "pad_w1"), pad)
    return {"kernel_h": size, "kernel_w": size, "stride_h": stride, "stride_w": stride, **pads, **more}


def document(entries: list[Entry], reshape_info: Entry | None = None) -> Entry:
    """The whole file as an object, redundant fields included."""
    index = {e["name"]: i for i, e in enumerate(entries)}
    nodes: list[Entry] = []
    for i, e in enumerate(entries):
        consumers = [other["name"] for other in entries if e["name"] in other["provider"]]
        node: Entry = {
            **e,
            "bitwidth": 16,
            "index": i,
            "new_node_index": i,
            "provider_num": len(e["provider"]),
            "provider_index": [index[p] for p in e["provider"]],
            "consumer_num": len(consumers),
            "consumer_index": [index[c] for c in consumers],
            "output_dim_num": len(e["output_dim"]),
        }
        if consumers:
            node["consumer"] = consumers
        if e["provider"]:
            node["input_dim"] = entries[index[e["provider"][0]]]["output_dim"]
            node["input_dim_num"] = len(node["input_dim"])
        else:
            del node["provider"]
        nodes.append(node)
    return copy.deepcopy({"node_list": nodes, "reshape_info": reshape_info or {}})


def text(entries: list[Entry], reshape_info: Entry | None = None) -> str:
    """The file's text."""
    return json.dumps(document(entries, reshape_info))


def conv(name: str, provider: str, channels: tuple[int, int], dims: list[int], window: Entry, **extra: Any) -> Entry:
    """An OP_CONV entry with a bias."""
    param = {"input_channel": channels[0], "output_channel": channels[1], "with_bias": 1, **window}
    return entry(name, "OP_CONV", [provider], dims, param, **extra)


def fc(inputs: int, outputs: int, with_bias: int) -> Entry:
    """`param` of an OP_FC entry."""
    return {"num_input": inputs, "num_output": outputs, "with_bias": with_bias}


def every_operation() -> list[Entry]:
    """A small network with every operation that the format has a meaning for, and branches that meet again."""
    return [
        entry("data", "OP_INPUT", [], [1, 4, 8, 8]),
        conv("conv1", "data", (4, 6), [1, 6, 8, 8], kernel(3, pad=1, group=2), with_act=1, act_type=0, with_bn=0),
        entry("norm1", "OP_LRN", ["conv1"], [1, 6, 8, 8]),
        entry(
            "pool1",
            "OP_POOL",
            ["norm1"],
            [1, 6, 4, 4],
            {**kernel(3, 2, pad=0, pool_method=0), "pad_h1": 1, "pad_w1": 1},
        ),
        conv("left", "pool1", (6, 6), [1, 6, 4, 4], kernel(1)),
        entry("right", "OP_POOL", ["pool1"], [1, 6, 4, 4], kernel(3, pad=1, pool_method=1)),
        entry("sum", "OP_ELTWISE", ["left", "right"], [1, 6, 4, 4], {"eletype": 2}),
        entry("both", "OP_CONCAT", ["sum", "pool1"], [1, 12, 4, 4]),
        entry("mixed", "OP_SHUFFLE", ["both"], [1, 12, 4, 4], {"input_channel": 12, "split_factor": 3}),
        conv("dw", "mixed", (12, 12), [1, 12, 4, 4], kernel(3, pad=1, group=12), with_bn=1),
        entry("dw6", "OP_CLIP", ["dw"], [1, 12, 4, 4], {"min": 0.0, "max": 6.0}),
        entry("gap", "OP_SIGMOID", ["dw6"], [1, 12, 4, 4]),
        entry("diff", "OP_ELTWISE", ["gap", "dw6"], [1, 12, 4, 4], {"eletype": 4}),
        entry("tanh", "OP_TANH", ["diff"], [1, 12, 4, 4]),
        entry("drop", "OP_DROPOUT", ["tanh"], [1, 12, 4, 4]),
        entry("flat", "OP_FLATTEN", ["drop"], [1, 192]),
        entry(
            "fc1",
            "OP_FC",
            ["flat"],
            [1, 10],
            {"num_input": 192, "num_output": 10, "with_bias": 1},
            with_act=1,
            act_type=2,
        ),
        entry("fc2", "OP_FC", ["fc1"], [1, 5], {"num_input": 10, "num_output": 5, "with_bias": 0}),
        entry("prob", "OP_SOFTMAX", ["fc2"], [1, 5]),
    ]


RESHAPE_INFO = {"name": "fc1", "input_dim": [1, 12, 4, 4], "output_dim": [1, 192]}
