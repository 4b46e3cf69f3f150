"""The chip from above: which layer has which crossbars, and what is sent between the cores."""

import io
import math
import textwrap
import warnings
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pimdse.display.units import count_text, share_text, size_text
from pimdse.folder.chip_use import ChipUse
from pimdse.folder.program import ProgramFolder

if TYPE_CHECKING:
    from matplotlib.axes import Axes


_INK, _EMPTY, _EDGE, _UNKNOWN = "#222222", "#f2f2f2", "#9a9a9a", "#b0b0b0"
_MEMORY = "#0072B2"
_LINE = "#D55E00"  # Okabe and Ito's vermilion stands out from every colour of viridis, in grey too
_MARGIN = 0.08  # of a core's place, on each side
_NUMBERED_CORES = 400  # with more there is no room for a number in each
_LEGEND_COLUMNS, _LEGEND_ROW_INCHES = 2, 0.22
_BODY_INCHES = 4.4  # at least, for the legend beside a flat chip
_WIDEST_PT = 5.0
_BOW = 0.16  # of a line's length

Floats = npt.NDArray[np.float64]


def floorplan(folder: ProgramFolder, use: ChipUse, *, form: str, lines: int) -> bytes:
    """A picture in `form` ("png", "svg" or "pdf"); lines: how many pairs of cores get a line, most bytes first."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    arch = folder.arch
    places = core_places(arch.total_cores, arch.cores, arch.mesh)
    layers = np.unique(use.fill[use.fill[:, 1] >= 0, 1])
    across, down = places.max(axis=0) + 1
    scale = 8.5 / max(across, down)
    body = max(down * scale, _BODY_INCHES)
    rows = int(body / _LEGEND_ROW_INCHES)
    columns = min(_LEGEND_COLUMNS, math.ceil(max(len(layers), 1) / rows))
    width, height = across * scale + 1.6 + 3.2 * columns, body + 1.5
    with mpl.rc_context({"svg.hashsalt": "pimdse", "font.size": 9}):
        figure = Figure(figsize=(width, height), dpi=130)
        FigureCanvasAgg(figure)
        left, bottom = 0.9 / width, 0.8 / height
        floor = bottom + (body - down * scale) / height
        axes = figure.add_axes((left, floor, across * scale / width, down * scale / height))
        axes.set_xlim(0, across)
        axes.set_ylim(down, 0)
        axes.set_aspect("equal", anchor="NW")
        axes.axis("off")
        colours = layer_colours(layers)
        point = 72 * scale  # size of a core's place in points
        _cores(axes, folder, use, places, colours, point)
        _traffic(axes, use, places, lines, point)
        _memory(axes, use, places, point)
        if arch.total_cores <= _NUMBERED_CORES:
            _numbers(axes, use, places, layers, colours, point)
        legend = figure.add_axes((left + (across * scale + 0.25) / width, bottom, 3.2 * columns / width, body / height))
        _legend(legend, folder, use, layers, colours, rows, columns)
        figure.text(0.3 / width, 1 - 0.3 / height, folder.title, fontsize=12, color=_INK, va="center")
        caption = "\n".join(textwrap.wrap(_caption(folder, use, lines), int(15 * width)))
        figure.text(0.3 / width, 0.6 / height, caption, fontsize=8.5, color=_INK, va="top")
        picture = io.BytesIO()
        metadata = {"png": {"Software": "pimdse"}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[form]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph")  # a layer's name in letters that the font lacks
            figure.savefig(picture, format=form, metadata=metadata)
    return picture.getvalue()


def core_places(total: int, cores: int, mesh: tuple[int, int]) -> Floats:
    """float[total, 2]: x and y of every core's upper left corner; chips stand side by side, a place apart."""
    chips = total // cores
    chips_across = math.ceil(math.sqrt(chips))
    number = np.arange(total)
    chip, local = number // cores, number % cores
    y, x = local // mesh[1], local % mesh[1]
    return np.column_stack([x + chip % chips_across * (mesh[1] + 1), y + chip // chips_across * (mesh[0] + 1)]).astype(
        float
    )


def layer_colours(layers: npt.NDArray[np.int64]) -> dict[int, tuple[float, float, float, float]]:
    """Colours from dark to light along the network: viridis keeps its order in grey and for any colour vision."""
    from matplotlib import colormaps

    places = np.linspace(0.0, 1.0, max(len(layers), 2))[: len(layers)]
    return {int(k): colormaps["viridis"](place) for k, place in zip(layers, places)}


def _cores(
    axes: "Axes",
    folder: ProgramFolder,
    use: ChipUse,
    places: Floats,
    colours: dict[int, tuple[float, float, float, float]],
    point: float,
) -> None:
    """A square per core, filled from below by the layers' shares of its crossbars."""
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    side = 1 - 2 * _MARGIN
    ground = [Rectangle((x + _MARGIN, y + _MARGIN), side, side) for x, y in places]
    thin = 0.6 if len(places) <= _NUMBERED_CORES else 0.15
    axes.add_collection(PatchCollection(ground, facecolor=_EMPTY, edgecolor="none", zorder=1))
    bars, faces = [], []
    height = np.zeros(len(places))
    for core, node, crossbars in use.fill.tolist():
        share = side * crossbars / folder.arch.crossbars_per_core
        x, y = places[core]
        bars.append(Rectangle((x + _MARGIN, y + 1 - _MARGIN - height[core] - share), side, share))
        faces.append(colours.get(node, _UNKNOWN))
        height[core] += share
    axes.add_collection(PatchCollection(bars, facecolor=faces, edgecolor="none", zorder=2))
    axes.add_collection(PatchCollection(ground, facecolor="none", edgecolor=_EDGE, linewidth=thin, zorder=3))
    busy = use.working & (height == 0)
    middle = places[busy] + 0.5
    axes.scatter(middle[:, 0], middle[:, 1], s=(0.2 * point) ** 2, color=_EDGE, linewidths=0, zorder=3)


def _numbers(
    axes: "Axes",
    use: ChipUse,
    places: Floats,
    layers: npt.NDArray[np.int64],
    colours: dict[int, tuple[float, float, float, float]],
    point: float,
) -> None:
    """The number of the layer with most crossbars, in every core."""
    from matplotlib.patheffects import withStroke

    rank = {int(k): n + 1 for n, k in enumerate(layers)}
    largest: dict[int, tuple[int, int]] = {}
    for core, node, crossbars in use.fill.tolist():
        if node >= 0 and crossbars > largest.get(core, (0, -1))[0]:
            largest[core] = (crossbars, node)
    size = min(11.0, 0.36 * point)
    for core, (_, node) in largest.items():
        x, y = places[core]
        halo = [withStroke(linewidth=size / 4, foreground="white")]
        axes.text(
            x + 0.5,
            y + 0.5,
            str(rank[node]),
            ha="center",
            va="center",
            fontsize=size,
            color=_INK,
            zorder=6,
            path_effects=halo,
        )


def _traffic(axes: "Axes", use: ChipUse, places: Floats, lines: int, point: float) -> None:
    """Bowed lines, so that those along one row or column do not hide each other."""
    from matplotlib.collections import PathCollection
    from matplotlib.path import Path

    pairs = use.traffic[:lines]
    start, stop = places[pairs[:, 0]] + 0.5, places[pairs[:, 1]] + 0.5
    way = stop - start
    bow = (start + stop) / 2 + _BOW * np.column_stack([way[:, 1], -way[:, 0]])
    curves = [Path(points, (Path.MOVETO, Path.CURVE3, Path.CURVE3)) for points in np.stack([start, bow, stop], axis=1)]
    width = _widths(pairs[:, 2], point)
    axes.add_collection(
        PathCollection(
            curves, linewidths=width, edgecolors=_LINE, facecolors="none", alpha=0.5, capstyle="round", zorder=4
        )
    )


def _widths(amount: npt.NDArray[np.int64], point: float) -> Floats:
    """Line widths: as the root of the bytes, so that a tenth of the traffic is still seen."""
    widest = min(_WIDEST_PT, max(1.0, 0.12 * point))
    return np.asarray(widest * np.sqrt(amount / max(int(amount.max(initial=0)), 1)), float)


def _memory(axes: "Axes", use: ChipUse, places: Floats, point: float) -> None:
    """The memory controller at the left edge, and in every core a bar for the bytes it loads and stores."""
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    down = places[:, 1].max() + 1
    unit = 72 / point  # an inch, in places
    left, broad = -0.55 * unit, 0.3 * unit
    box = Rectangle((left, 0), broad, down, facecolor="#dddddd", edgecolor=_MEMORY, clip_on=False, zorder=1)
    axes.add_patch(box)
    if down / unit > 1.5:  # inches: what the words need
        axes.text(
            left + broad / 2, down / 2, "global memory", rotation=90, ha="center", va="center", fontsize=9, color=_INK
        )
    amount = use.memory_bytes.sum(axis=1)
    share = np.sqrt(amount / max(int(amount.max(initial=0)), 1)) * (1 - 2 * _MARGIN)
    bars = [
        Rectangle((x + _MARGIN / 4, y + 1 - _MARGIN - high), _MARGIN * 0.7, high)
        for (x, y), high in zip(places, share)
        if high > 0
    ]
    axes.add_collection(PatchCollection(bars, facecolor=_MEMORY, edgecolor="none", zorder=3))


def _legend(
    axes: "Axes",
    folder: ProgramFolder,
    use: ChipUse,
    layers: npt.NDArray[np.int64],
    colours: dict[int, tuple[float, float, float, float]],
    rows: int,
    columns: int,
) -> None:
    """Number, colour, name and crossbars of every layer; of very many, evenly chosen ones."""
    from matplotlib.patches import Rectangle

    axes.set_xlim(0, columns)
    axes.set_ylim(rows, 0)
    axes.axis("off")
    chosen = np.linspace(0, len(layers) - 1, min(len(layers), rows * columns)).round().astype(np.int64)
    crossbars = np.bincount(use.fill[use.fill[:, 1] >= 0, 1], use.fill[use.fill[:, 1] >= 0, 2])
    for place, index in enumerate(chosen.tolist()):
        node = int(layers[index])
        x, y = place // rows, place % rows
        axes.add_patch(
            Rectangle((x + 0.08, y + 0.15), 0.06, 0.7, facecolor=colours[node], edgecolor=_EDGE, linewidth=0.5)
        )
        axes.text(x + 0.065, y + 0.5, str(index + 1), ha="right", va="center", fontsize=8, color=_INK)
        name = folder.layer(node)
        name = name if len(name) <= 34 else f"{name[:15]}...{name[-16:]}"
        axes.text(
            x + 0.16, y + 0.5, f"{name}  ({count_text(int(crossbars[node]))})", va="center", fontsize=8, color=_INK
        )


def _caption(folder: ProgramFolder, use: ChipUse, lines: int) -> str:
    arch, used = folder.arch, int(use.fill[:, 2].sum())
    idle = int(use.fill[use.fill[:, 1] < 0, 2].sum())
    moved, shown = int(use.traffic[:, 2].sum()), int(use.traffic[:lines, 2].sum())
    loaded, stored = use.memory_bytes.sum(axis=0).tolist()
    grey = f", {count_text(idle)} of them for no layer: grey" if idle else ""
    text = (
        f"{arch.name}: {count_text(used)} of {count_text(arch.crossbars)} crossbars hold weights "
        f"({share_text(used, arch.crossbars)}{grey}). A square is a core, filled by its layers' crossbars; blue at its "
        f"left: bytes from and to global memory ({size_text(loaded)} read, {size_text(stored)} written per pass)."
    )
    if shown:
        text += (
            f" Lines: the {min(lines, len(use.traffic))} busiest of {count_text(len(use.traffic))} pairs of cores, "
            f"{size_text(shown)} of {size_text(moved)} per pass."
        )
    return text + " Widths and bars grow with the root of the bytes."
