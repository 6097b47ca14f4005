"""Draws the verbs of instructions and their objects as two rings, the picture of variety that Self-Instruct shows."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

#: Height of a word, as a share of the outer ring's radius: one that is wider than its piece of the ring is not drawn.
_WORD_HEIGHT = 0.042
#: Verbs below which the picture tells less than its table: one verb is a ring of one colour.
LEAST_VERBS = 5
#: Luminance of inner and outer ring (WCAG 2.1): white words have a contrast of 7 and 4.5 to 1 against them, at least.
_INNER_LUMINANCE, _OUTER_LUMINANCE = 0.09, 0.17
#: How the reading is named under the picture.
_NAMES = {"parser": "verb and direct object by a parser", "rule": "verb and direct object by rule, without a parser"}


def draw_verb_nouns(
    shown: pl.DataFrame, instructions: int, file_format: Literal["svg", "png"] = "svg", size_inches: float = 8.0
) -> bytes:
    """Return a picture: verbs in the inner ring, their most common objects outside (Self-Instruct, figure 2).

    Equal counts give equal bytes.

    Args:
        shown: columns verb, noun, instructions, method, in the order drawn (`filtering.verb_nouns.choose_shown`).
        instructions: all that were read; the share that the picture shows is written under it.
        file_format: `svg` or `png`.
        size_inches: width and height.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG  # noqa: F401 - registers the format without a display
    from matplotlib.figure import Figure

    verbs = shown.group_by("verb", maintain_order=True).agg(pl.col("instructions").sum())
    total = int(shown.get_column("instructions").sum())
    with mpl.rc_context({"svg.hashsalt": "mmpipe", "svg.fonttype": "none"}):
        figure = Figure(figsize=(size_inches, size_inches))
        axes = figure.add_axes((0.01, 0.07, 0.98, 0.92))
        word_size = 1.3 * size_inches
        axes.set_axis_off()
        if total:
            # neighbours are far apart in hue: each is turned by the golden angle
            hues = {verb: place * 0.381966 % 1 for place, verb in enumerate(verbs.get_column("verb"))}
            inner = [choose_colour(hue, _INNER_LUMINANCE) for hue in hues.values()]
            _draw_ring(axes, verbs.get_column("verb").to_list(), verbs, inner, 0.62, total, word_size)
            outer = [choose_colour(hues[verb], _OUTER_LUMINANCE) for verb in shown.get_column("verb")]
            _draw_ring(axes, shown.get_column("noun").to_list(), shown, outer, 1.0, total, word_size)
            axes.set(aspect="equal", xlim=(-1.05, 1.05), ylim=(-1.05, 1.05))
        method = shown.get_column("method")[0] if shown.height else "rule"
        share = total / instructions if instructions else 0.0
        told = f"{total:,} of {instructions:,} instructions ({share:.0%}): {_NAMES[method]}"
        size = min(10.0, 1.5 * size_inches)  # fits the width
        # a page may colour the caption as its own text
        figure.text(0.5, 0.03, told, ha="center", fontsize=size, gid="caption")
        buffer = BytesIO()
        metadata = {"Date": None} if file_format == "svg" else {"Software": None}
        figure.savefig(buffer, format=file_format, metadata=metadata, transparent=file_format == "svg")
    return buffer.getvalue()


def _draw_ring(
    axes: object,
    names: Sequence[str],
    counts: pl.DataFrame,
    colours: Sequence[object],
    radius: float,
    total: int,
    word_size: float,
) -> None:
    """Draw one ring; its words stand along the radius."""
    sizes = counts.get_column("instructions").to_list()
    wedges, _ = axes.pie(  # type: ignore[attr-defined]
        sizes,
        radius=radius,
        colors=colours,
        startangle=90,
        counterclock=False,
        wedgeprops={"width": 0.36, "edgecolor": "white", "linewidth": 0.8},
    )
    import numpy as np

    for name, size, wedge in zip(names, sizes, wedges, strict=True):
        place = radius - 0.18
        if 2 * np.pi * place * size / total < _WORD_HEIGHT:
            continue
        angle = (wedge.theta1 + wedge.theta2) / 2
        turned = angle % 360
        rotation = turned - 180 if 90 < turned < 270 else turned
        axes.text(  # type: ignore[attr-defined]
            place * np.cos(np.radians(angle)),
            place * np.sin(np.radians(angle)),
            name,
            ha="center",
            va="center",
            rotation=rotation,
            rotation_mode="anchor",
            fontsize=word_size,
            color="white",
        )


def choose_colour(hue: float, luminance: float) -> tuple[float, float, float]:
    """Return the colour of a hue (0 to 1) that is as light as told, in red, green and blue from 0 to 1.

    Args:
        hue: of the colour circle.
        luminance: relative luminance of WCAG 2.1, above 0 and below that of the hue at full value.
    """
    from colorsys import hsv_to_rgb

    low, high = 0.0, 1.0
    for _ in range(20):  # the luminance grows with the value
        middle = (low + high) / 2
        low, high = (middle, high) if measure_luminance(hsv_to_rgb(hue, 0.62, middle)) < luminance else (low, middle)
    return hsv_to_rgb(hue, 0.62, low)


def measure_luminance(colour: Sequence[float]) -> float:
    """Return the relative luminance of a colour in red, green and blue from 0 to 1 (WCAG 2.1)."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
