"""The node_list under construction: records with provider indices, and PIMCOMP-NN's redundant entries at the end."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pimcomp.ir.graph import Conv, Lrn, Pool

Param = dict[str, int | float]

BITWIDTH = 16  # what PIMCOMP-NN's front end always writes; no pass of either compiler reads it
NO_BOUND = 10_000_000  # stands for an absent clip bound


@dataclass(frozen=True, slots=True)
class Record:
    """One entry: `dims` is its output_dim; act_type -1 is none, and None marks entries without those fields."""

    name: str
    operation: str
    providers: tuple[int, ...]
    dims: tuple[int, ...]
    param: Param = field(default_factory=dict)
    act_type: int | None = None


@dataclass
class RecordList:
    """Records in order, with unique names."""

    reserved: frozenset[str]
    records: list[Record] = field(default_factory=list)
    _names: set[str] = field(default_factory=set)

    def add(self, record: Record, *, exactly: bool = False) -> int:
        """Append a record under its name or, if that is taken or reserved for an output, a variant of it; its index."""
        name, number = record.name, 1
        while not exactly and (name in self._names or name in self.reserved):
            number += 1
            name = f"{record.name}_{number}"
        self._names.add(name)
        self.records.append(replace(record, name=name))
        return len(self.records) - 1

    def entries(self) -> list[dict[str, object]]:
        """node_list as PIMCOMP-NN reads it."""
        consumers: list[list[int]] = [[] for _ in self.records]
        for index, record in enumerate(self.records):
            for provider in dict.fromkeys(record.providers):
                consumers[provider].append(index)
        return [self._entry(index, record, consumers[index]) for index, record in enumerate(self.records)]

    def _entry(self, index: int, record: Record, consumers: list[int]) -> dict[str, object]:
        entry: dict[str, object] = {
            "bitwidth": BITWIDTH,
            "index": index,
            "new_node_index": index,
            "name": record.name,
            "operation": record.operation,
            "output_dim": list(record.dims),
            "output_dim_num": len(record.dims),
            "provider_num": len(record.providers),
            "provider_index": list(record.providers),
            "consumer_num": len(consumers),
            "consumer_index": consumers,
        }
        if record.providers:
            first = self.records[record.providers[0]].dims
            entry["provider"] = [self.records[i].name for i in record.providers]
            entry |= {"input_dim": list(first), "input_dim_num": len(first)}
        if consumers:
            entry["consumer"] = [self.records[i].name for i in consumers]
        if record.param:
            entry["param"] = record.param
        if record.act_type is not None:
            entry |= {"act_type": record.act_type, "with_act": int(record.act_type >= 0), "with_bn": 0}
            entry |= {"with_clip": 0, "clip_min": -NO_BOUND, "clip_max": NO_BOUND}
        return entry


def conv_param(conv: Conv, in_channels: int) -> Param:
    """`param` of an OP_CONV entry."""
    window = conv.window
    return {
        "input_channel": in_channels,
        "output_channel": len(conv.weights),
        **_kernel_param(conv.window.kernel, window.stride, window.pads),
        "dilation_h": window.dilation[0],
        "dilation_w": window.dilation[1],
        "group": conv.groups,
        "with_bias": int(conv.bias is not None),
    }


def fc_param(conv: Conv) -> Param:
    """`param` of an OP_FC entry."""
    return {
        "num_input": conv.weights[0].size,
        "num_output": len(conv.weights),
        "with_bias": int(conv.bias is not None),
    }


def pool_param(pool: Pool, in_size: tuple[int, int]) -> Param:
    """`param` of an OP_POOL entry; count_include_pad, where it matters, is our extension of the format."""
    window = pool.window
    param: Param = {
        "pool_method": int(pool.method == "avg"),
        "global": int(window.kernel == in_size and not any(window.pads)),
        **_kernel_param(window.kernel, window.stride, window.pads),
    }
    if pool.method == "avg" and pool.count_padding and any(window.pads):
        param["count_include_pad"] = 1
    return param


def lrn_param(lrn: Lrn) -> Param:
    """`param` of an OP_LRN entry: our extension, PIMCOMP-NN drops LRN and writes none."""
    return {"size": lrn.size, "alpha": lrn.alpha, "beta": lrn.beta, "bias": lrn.bias}


def _kernel_param(kernel: tuple[int, int], stride: tuple[int, int], pads: tuple[int, int, int, int]) -> Param:
    top, left, bottom, right = pads
    return {
        "kernel_h": kernel[0],
        "kernel_w": kernel[1],
        "stride_h": stride[0],
        "stride_w": stride[1],
        "pad_h0": top,
        "pad_h1": bottom,
        "pad_w0": left,
        "pad_w1": right,
    }


def json_text(document: Mapping[str, object]) -> str:
    """The file's text: one key per line, keys sorted, so that equal networks give equal bytes."""
    return json.dumps(document, indent=1, sort_keys=True, allow_nan=False) + "\n"
