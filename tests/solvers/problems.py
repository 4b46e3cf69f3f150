"""Mapping problems made without a network: random, tiny enough to enumerate, or shaped like a known network."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pimcomp.ir.array_group import Unfolding
from pimcomp.ir.plan import Layer, LayerOption, MappingProblem, Pipeline, Plan
from pimcomp.proof.static import verify_plan

# (windows, rows of the unfolded matrix, columns) of the convolutions and the last fully connected layer of ResNet-18.
RESNET18 = (
    (12544, 147, 64), *((3136, 576, 64),) * 4,
    (784, 576, 128), (784, 1152, 128), (784, 64, 128), *((784, 1152, 128),) * 2,
    (196, 1152, 256), (196, 2304, 256), (196, 128, 256), *((196, 2304, 256),) * 2,
    (49, 2304, 512), (49, 4608, 512), (49, 256, 512), *((49, 4608, 512),) * 2, (1, 512, 1000),
)  # fmt: skip


def mesh_hops_ns(cores: int) -> npt.NDArray[np.float64]:
    """float64[cores, cores]: 2 ns plus 2 ns per hop on the most square mesh."""
    width = int(np.ceil(np.sqrt(cores)))
    y, x = np.divmod(np.arange(cores), width)
    hops = np.abs(y[:, None] - y) + np.abs(x[:, None] - x)
    return np.asarray(2.0 + 2.0 * hops, dtype=np.float64)


def make_option(firings: int, ag_crossbars: Sequence[int], block: int = 1, vector_ns: float = 100.0) -> LayerOption:
    """An option whose MVMs take 1000 ns and 50 ns more per crossbar."""
    return LayerOption(
        unfolding=Unfolding(block),
        firings=firings,
        ag_crossbars=np.array(ag_crossbars, dtype=np.int32),
        mvm_ns=np.array([1000.0 + 50.0 * size for size in ag_crossbars]),
        vector_ns=vector_ns,
    )


def make_layer(k: int, options: Sequence[LayerOption], depends: Sequence[int] | None = None) -> Layer:
    """Layer number k; by default it reads layer k - 1."""
    windows = options[0].firings
    height = int(np.sqrt(windows))
    return Layer(
        name=f"layer{k}",
        windows=windows,
        out_height=max(1, height),
        out_width=max(1, windows // max(1, height)),
        output_bytes=64,
        fully_connected=windows == 1,
        options=tuple(options),
        depends=tuple(depends) if depends is not None else tuple(range(max(0, k - 1), k)),
    )


def make_problem(
    layers: Sequence[Layer],
    cores: int,
    crossbars_per_core: int,
    pipeline: Pipeline = Pipeline.BATCH,
    vector_work_ns: float = 0.0,
    rob_size: int = 1,
    load_ns: float = 0.0,
) -> MappingProblem:
    """A problem on a square mesh."""
    return MappingProblem(
        name="made by hand",
        pipeline=pipeline,
        cores=cores,
        crossbars_per_core=crossbars_per_core,
        rob_size=rob_size,
        layers=tuple(layers),
        vector_work_ns=vector_work_ns,
        hops_ns=mesh_hops_ns(cores),
        load_ns=load_ns,
    )


def random_problem(seed: int, pipeline: Pipeline = Pipeline.BATCH) -> MappingProblem:
    """A network of up to 8 layers with up to 3 unfoldings each, on a chip that holds it between 1 and about 4 times."""
    rng = np.random.default_rng(seed)
    layers = []
    for k in range(int(rng.integers(1, 9))):
        side, groups, width = int(rng.integers(1, 15)), int(rng.integers(1, 7)), int(rng.integers(1, 5))
        plain = make_option(side * side, [width] * groups)
        blocks = range(2, 2 + int(rng.integers(0, 3))) if side > 2 else range(0)
        wide = [make_option(side * -(-side // b), [min(8, width * b)] * groups, b, 100.0 * b) for b in blocks]
        depends = sorted({int(d) for d in rng.integers(0, k, size=2)}) if k else []
        layers.append(make_layer(k, [plain, *wide], depends))
    need = sum(layer.options[0].crossbars for layer in layers)
    capacity = int(rng.integers(8, 17))
    cores = -(-int(need * rng.uniform(1.2, 4.0)) // capacity) + 1
    vector_work_ns, load_ns = (float(x) for x in rng.integers(0, 10_000, size=2))
    return make_problem(layers, cores, capacity, pipeline, vector_work_ns, load_ns=load_ns)


def resnet18_problem(pipeline: Pipeline = Pipeline.BATCH, cores: int = 144, capacity: int = 64) -> MappingProblem:
    """The layer shapes of ResNet-18 with 128 x 128 logical crossbars."""
    layers = [
        make_layer(k, [make_option(windows, [-(-columns // 128)] * -(-rows // 128))])
        for k, (windows, rows, columns) in enumerate(RESNET18)
    ]
    return make_problem(layers, cores, capacity, pipeline, 100_000.0)


def check_plan(problem: MappingProblem, plan: Plan) -> None:
    """Every invariant of a plan, once by the product's verifier and once independently of it."""
    verify_plan(problem, plan)
    assert len(plan.option) == len(plan.replication) == len(plan.core_of) == len(problem.layers)
    used = np.zeros(problem.cores, dtype=int)
    for layer, o, r, cores in zip(problem.layers, plan.option, plan.replication, plan.core_of, strict=True):
        assert 0 <= o < len(layer.options)
        assert 1 <= r <= layer.options[o].firings
        assert cores.dtype == np.int32
        assert cores.shape == (r, len(layer.options[o].ag_crossbars))
        assert ((cores >= 0) & (cores < problem.cores)).all()
        np.add.at(used, cores, np.broadcast_to(layer.options[o].ag_crossbars, cores.shape))
    assert used.max(initial=0) <= problem.crossbars_per_core


def same_plan(a: Plan | None, b: Plan | None) -> bool:
    """Equal decisions."""
    if a is None or b is None:
        return a is b
    equal = all(np.array_equal(x, y) for x, y in zip(a.core_of, b.core_of, strict=True))
    return equal and a.option == b.option and a.replication == b.replication
