"""What converters, cells and noise cost the trained networks: top-1 accuracy on their test images.

    python -m benchmarks.accuracy_curves [--networks NAME ...] [--arch isaac] [--bits 8] [--out docs/price.md]

One thing of the chip's crossbars is changed at a time.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from benchmarks.sections import table, write_section
from pimcomp.config import load_arch
from pimcomp.frontend import LoadedNetwork, load_network
from pimcomp.ir.arch import Arch
from pimcomp.proof.trained import LabelledImages, find_test_set
from spaces.accuracy import crossbars_of, execute_on

NETWORKS = tuple(f"digits_{name}" for name in ("mlp", "lenet5", "dscnn", "incnet", "resnet8", "vgg8", "vgg8_bn"))
SECTION = "accuracy curves"
CHANGES: tuple[tuple[str, dict[str, float]], ...] = (
    ("exact", {"adc_bits": 0}),
    *((f"ADC bits {bits}" if bits == 8 else str(bits), {"adc_bits": bits}) for bits in (8, 7, 6, 5, 4, 1)),
    ("cell bits 1, ADC 6", {"cell_bits": 1, "adc_bits": 6}),
    ("cell bits 4, ADC 8", {"cell_bits": 4, "adc_bits": 8}),
    *((f"noise {noise}" if noise == 0.05 else str(noise), {"cell_noise": noise}) for noise in (0.05, 0.1, 0.2)),
    *((f"stuck {share}" if share == 0.001 else str(share), {"stuck_cells": share}) for share in (0.001, 0.01)),
)


def row(name: str, network: LoadedNetwork, known: LabelledImages, chip: Arch) -> list[str]:
    """Accuracies in percent, one per change."""
    found: dict[Arch, float] = {}
    shown = [name]
    for _, change in CHANGES:
        crossbars = crossbars_of(replace(chip, **change))  # type: ignore[arg-type]
        if crossbars not in found:
            found[crossbars] = execute_on(network, known, crossbars)
        shown.append(f"{found[crossbars]:.1f}")
    return shown


def main() -> None:
    """Measure and write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--arch", default="isaac")
    parser.add_argument("--bits", type=int, default=8, help="of weights, activations and partial sums")
    parser.add_argument("--out", type=Path, default=Path("docs/price.md"))
    args = parser.parse_args()
    chip = replace(load_arch(args.arch), weight_bits=args.bits, activation_bits=args.bits, psum_bits=args.bits)
    rows = []
    for name in args.networks:
        network = load_network(name)
        known = find_test_set(name, network)
        if known is None:
            parser.error(f"{name} has no test images")
        rows.append(row(name, network, known, chip))
        write_section(args.out, SECTION, table(["network", *(title for title, _ in CHANGES)], rows), "What chips cost")
        print(*rows[-1], flush=True)


if __name__ == "__main__":
    main()
