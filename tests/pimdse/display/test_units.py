"""Every figure of a sweep is shown in a unit that people read.

Covers: /spaces/metrics.
"""

import pytest

from pimdse.display.units import figure_text, rate_text, size_text
from spaces.metrics import METRICS


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (901_234.5, "ns", "901 us"),
        (2.85e9, "pJ", "2.85 mJ"),
        (3169.0, "mW", "3.17 W"),
        (3.329e15, "pJ ns", "3.33 uJ s"),
        (5e8, "pJ ns", "500 fJ s"),
        (69_632.0, "bytes", "68 KiB"),
        (23_040.0, "crossbars", "23,040 crossbars"),
        (85.08, "mm2", "85.1 mm2"),
        (0.25, "images/s", "0.25 images/s"),
    ],
)
def test_a_figure_is_shown_in_the_unit_it_is_best_read_in(value: float, unit: str, text: str) -> None:
    assert figure_text(value, unit) == text


def test_no_metric_is_shown_with_an_exponent() -> None:
    for metric in METRICS:
        for exponent in range(0, 22, 3):
            text = figure_text(1.234 * 10**exponent, metric.unit)
            assert "e+" not in text, (metric.name, text)


def test_sizes_and_rates() -> None:
    assert (size_text(512), size_text(2**21), rate_text(1110.2)) == ("512 B", "2 MiB", "1,110 images/s")
