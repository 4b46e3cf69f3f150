"""Lower bound and good choices for the latency of one image, by a saddle point of two simple problems.

The latency model (plan/cost.py) is convex and positively homogeneous in the layers' times: it is the largest of
many weighted sums g . t + f . u + l load over layer times t and row times u, one per chain of layers, and of the even
share of all issue time. Hence for any average (g, f, l, h) of such sums and any price p >= 0 per crossbar,

    latency >= min over choices of  sum_k (g_k t_k + f_k u_k + h work_k / slots + p crossbars_k) + h vector work /
    slots + l load - p budget,

which falls apart into one minimum per layer. Averaging the sums that are tight at each best response (fictitious
play) drives this bound up and yields choices whose latency comes down. Source: Brown 1951; Lagrangian relaxation
after Geoffrion 1974.
"""

import numpy as np

from pimcomp.foundation.kernels import kernel
from pimcomp.ir.plan import MappingProblem
from pimcomp.plan.cost import FloatVector, IntVector, chain_ns, first_rows, heights
from solvers.exact.relaxation import Configurations, issue_ns

ROUNDS = 40  # the bound moves by less than 1 % afterwards on the shipped networks
PRICE_STEPS = 40  # halvings of the price interval


def latency_relaxation(
    problem: MappingProblem, table: Configurations, budget: int, rounds: int = ROUNDS
) -> tuple[float, list[IntVector]]:
    """Proven lower bound of the latency (ns) of every plan of at most `budget` crossbars, and the best choices met.

    The choices (rows of the table, int64[layers]) keep the budget and come in order of their relaxed latency.
    """
    layers, slots = len(problem.layers), problem.cores * problem.rob_size
    if layers == 0:
        return problem.vector_work_ns / slots, [np.zeros(0, dtype=np.int64)]
    layer_of = np.repeat(np.arange(layers), np.diff(table.start))
    time = np.maximum(table.group_ns, table.work_ns / slots)
    row = np.maximum(time / heights(problem)[layer_of], table.block_ns / problem.rob_size)
    weight, share, loading = np.full((2, layers), 0.5 / layers), 0.0, 0.0
    total_weight, total_share, total_loading = np.zeros((2, layers)), 0.0, 0.0
    bound, met = 0.0, {}
    for turn in range(rounds):
        cost = weight[0, layer_of] * time + weight[1, layer_of] * row + share * table.work_ns / slots
        value, rows = _cheapest(table.start, cost, table.crossbars, budget, PRICE_STEPS)
        bound = max(bound, value + share * problem.vector_work_ns / slots + loading * problem.load_ns)
        if rows[0] < 0:
            break
        latency, gradient, loads = _tight_sum(problem, table, time[rows], row[rows], rows)
        met[latency, tuple(rows.tolist())] = rows
        issue = issue_ns(problem, table, rows)
        if issue >= latency:
            total_share += 1.0
        else:
            total_weight, total_loading = total_weight + gradient, total_loading + loads
        weight, share, loading = total_weight / (turn + 1), total_share / (turn + 1), total_loading / (turn + 1)
    return bound, [met[key] for key in sorted(met)]


def _tight_sum(
    problem: MappingProblem, table: Configurations, time: FloatVector, row: FloatVector, rows: IntVector
) -> tuple[float, FloatVector, float]:
    """Relaxed latency of a choice, and the weights in the chain that sets it: of layer and row times, of loading."""
    start, finish = (a[0] for a in chain_ns(problem, time[None], row[None]))
    weight = np.zeros((2, len(time)))
    k = int(np.argmax(finish))
    latency = max(float(finish[k]), issue_ns(problem, table, rows))
    at_finish = True
    while True:
        layer = problem.layers[k]
        if at_finish and start[k] + time[k] < finish[k]:  # one row after its producers' last, or the input's
            weight[1, k] += 1.0
            if not layer.depends:
                return latency, weight, 1.0
            k = max(layer.depends, key=lambda d: float(finish[d]))
            continue
        weight[0, k] += 1.0 if at_finish else 0.0
        if not layer.depends:
            return latency, weight, 0.0
        if layer.fully_connected:
            k, at_finish = max(layer.depends, key=lambda d: float(finish[d])), True
            continue
        k = max(layer.depends, key=lambda d: float(start[d] + first_rows(problem.layers[d]) * row[d]))
        weight[1, k] += first_rows(problem.layers[k])
        at_finish = False


@kernel
def _cheapest(
    start: IntVector, cost: FloatVector, crossbars: IntVector, budget: int, steps: int
) -> tuple[float, IntVector]:
    """Best bound over the price per crossbar and the rows of the cheapest choice within the budget that it met."""
    high = 1.0
    rows, used, value = _respond(start, cost, crossbars, 0.0)
    if used <= budget:
        return value, rows
    bound = value
    best = np.full(len(start) - 1, -1, dtype=np.int64)
    for _ in range(steps):
        rows, used, value = _respond(start, cost, crossbars, high)
        bound = max(bound, value - high * budget)
        if used <= budget:
            best = rows
            break
        high *= 8.0
    low = 0.0
    for _ in range(steps):
        price = 0.5 * (low + high)
        rows, used, value = _respond(start, cost, crossbars, price)
        bound = max(bound, value - price * budget)
        if used <= budget:
            best, high = rows, price
        else:
            low = price
    return bound, best


@kernel
def _respond(start: IntVector, cost: FloatVector, crossbars: IntVector, price: float) -> tuple[IntVector, int, float]:
    layers = len(start) - 1
    rows = np.empty(layers, dtype=np.int64)
    used, value = 0, 0.0
    for k in range(layers):
        best = start[k]
        for i in range(start[k], start[k + 1]):
            if cost[i] + price * crossbars[i] < cost[best] + price * crossbars[best]:
                best = i
        rows[k] = best
        used += crossbars[best]
        value += cost[best] + price * crossbars[best]
    return rows, used, value
