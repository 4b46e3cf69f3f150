"""Compile a trained network for the ISAAC chip, look at its figures, prove it, keep it."""

import pimcomp

program = pimcomp.compile_model("digits_lenet5", "isaac", pipeline="element")
print(f"{program.latency_ns / 1e3:.1f} us, {program.energy_pj / 1e6:.2f} uJ per image")
print(f"{program.simulate(rob_size=16).latency_ns / 1e3:.1f} us with 16 instructions in flight")
print("verified" if program.verify().passed else "wrong")
program.write("results/five_lines")
