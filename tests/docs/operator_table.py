"""docs/operators.md: every operator of ONNX's default domain, from the code and the schemas. `make docs` writes it."""

from collections import defaultdict

from onnx import defs

from pimcomp.frontend.lower.definitions import DEFINED
from pimcomp.frontend.lower.lower import LOWERINGS, why_not
from pimcomp.frontend.onnx.read import OPSETS
from tests.docs.pages import ROOT
from tests.frontend.onnx_node_tests import EXPANDED, stored

PAGE = ROOT / "docs" / "operators.md"
_BEGIN, _END = "<!-- operators: make docs -->\n", "<!-- end of operators -->"
# Where an operator is computed, by the module that lowers it.
PLACES = {
    "weighted": "crossbars",
    "transposed": "crossbars",
    "pooling": "vector unit",
    "elementwise": "vector unit",
    "activation": "vector unit",
    "resample": "copies, sums",
    "layout": "layout",
    "attention": "vector unit",
}
COMPUTED = frozenset(LOWERINGS) | DEFINED
_ELSEWHERE = {
    **dict.fromkeys(DEFINED, "vector unit"),
    "CenterCropPad": "layout",
    "Softmax": "vector unit; host, last",
    "LogSoftmax": "host, last",
    "Shape": "folded",
}
# What is asked of the form of a node, where it is not every form.
FORMS = {
    "Conv": "1-D and 2-D, constant weights",
    "ConvTranspose": "1-D and 2-D, constant weights",
    "Einsum": "products of two operands, as MatMul",
    "Attention": "without a cache, as what ONNX defines it by",
    "Gemm": "constant B",
    "MatMul": "vector unit where no matrix is constant",
    "Where": "constant condition",
    "LayerNormalization": "over any last axes",
    "RMSNormalization": "over any last axes",
    "MaxPool": "1-D and 2-D, no Indices",
    "AveragePool": "1-D and 2-D",
    "BatchNormalization": "in evaluation mode, spatial",
    "Dropout": "in evaluation mode",
    "Div": "by a constant",
    "Pow": "exponents 1 to 4",
    "PRelu": "constant slopes",
    "Softmax": "over one axis",
    "LogSoftmax": "at the end, over one axis",
    "Gather": "constant indices",
    "Concat": "along any axis but the batch",
    "Resize": "two axes; no antialias, no tf_crop_and_resize",
    "Cast": "to a type of real numbers",
    "CastLike": "to a type of real numbers",
    "Shape": "a constant of the network",
}


def operators() -> list[str]:
    """The operators that some opset which is read defines, in order."""
    found = {s.name for s in defs.get_all_schemas_with_history() if not s.domain}
    return sorted(name for name in found if _schemas(name))


def _schemas(operator: str) -> list[defs.OpSchema]:
    versions = {}
    for opset in OPSETS:
        if opset <= defs.onnx_opset_version() and defs.has(operator, opset):
            schema = defs.get_schema(operator, opset)
            if not schema.deprecated:
                versions[schema.since_version] = schema
    return list(versions.values())


def place(operator: str) -> str:
    """Where a supported operator is computed."""
    return _ELSEWHERE.get(operator) or PLACES[LOWERINGS[operator].__module__.rpartition(".")[2]]


def attributes(operator: str) -> list[str]:
    """All attributes of all definitions that are read."""
    return sorted({name for schema in _schemas(operator) for name in schema.attributes})


def table() -> str:
    """Markdown: what is computed and where, then what is refused and why."""
    counts = stored()
    rows = [
        f"| {name} | {place(name)} | {FORMS.get(name, '')} | {', '.join(attributes(name))} | {_tests(counts, name)} |"
        for name in operators()
        if name in COMPUTED
    ]
    reasons = defaultdict(list)
    for name in operators():
        if name not in COMPUTED:
            reasons[why_not(name).removeprefix("no instruction sequence computes it: ")].append(name)
    refused = [f"| {why} | {', '.join(names)} |" for why, names in sorted(reasons.items(), key=lambda e: e[1])]
    ours, others = {"right": 0, "refused": 0}, {"right": 0, "refused": 0}
    for name, row in counts.items():
        for kind in ours:
            (ours if name in COMPUTED else others)[kind] += row.get(kind, 0) * (name != EXPANDED)
    expanded = counts[EXPANDED]
    return f"""{len(rows)} operators are computed:

| operator | where | form | attributes | ONNX's tests |
|---|---|---|---|---|
{_lines(rows)}

ONNX's tests with operands and results of real numbers: {ours["right"]} right and {ours["refused"]} refused of the
operators above, {others["refused"]} refused of the others; of the tests that spell an operator out by its definition
{expanded["right"]} are right and {expanded["refused"]} refused.

{len(operators()) - len(rows)} are refused where the network computes their operands, and folded where all are
constants:

| why | operators |
|---|---|
{_lines(refused)}
"""


def _lines(rows: list[str]) -> str:
    return "\n".join(rows)


def _tests(counts: dict[str, dict[str, int]], operator: str) -> str:
    row = counts.get(operator, {})
    said = [f"{row[kind]} {word}" for kind, word in (("right", "right"), ("refused", "refused")) if row.get(kind)]
    if row.get("as_onnx_runtime"):
        said.append(f"{row['as_onnx_runtime']} as ONNX Runtime, not as ONNX")
    return ", ".join(said)


def with_table(page: str) -> str:
    """The page with the tables between its two marks."""
    before, rest = page.split(_BEGIN)
    return before + _BEGIN + "\n" + table() + "\n" + _END + rest.split(_END)[1]


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
