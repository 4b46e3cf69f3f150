"""Solvers side by side on one problem: random ones with ten seeds, all judged by the program's timeline."""

from statistics import median

import pimcomp

NETWORK, CHIP, SEEDS = "digits_lenet5", "pimcomp_default", range(10)
SOLVERS = {"balance": [0], "ga": SEEDS, "exact": [0], "auto": [0]}  # of these, only ga draws random numbers

if __name__ == "__main__":
    print(f"{NETWORK} on {CHIP}, element pipeline: latency of one image")
    for solver, seeds in SOLVERS.items():
        programs = [pimcomp.compile_model(NETWORK, CHIP, solver=solver, seed=seed) for seed in seeds]
        times_us = [program.latency_ns / 1e3 for program in programs]
        limited = "*" if any(program.compiled.outcome.time_limited for program in programs) else ""
        proven = all(program.verify(images=1).passed for program in programs)
        print(
            f"{solver:8} median {median(times_us):5.1f} us, {min(times_us):5.1f} to {max(times_us):5.1f}{limited}, "
            f"{len(times_us)} seeds, {'all verified' if proven else 'WRONG'}"
        )
