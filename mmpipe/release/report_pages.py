"""Fills the pages of reports: the frame, style and plots that all share, and numbers as people read them."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_WIDTH, _BASE, _TOP, _LEAST_HEIGHT = 330, 100, 18, 2.5
#: The frame of every page, and the style that all share.
_STYLE = "report_style.css"


def render_page(
    template: str,
    report: Mapping[str, Any],
    *,
    tiles: Sequence[tuple[str, str]],
    styles: Sequence[str] = (),
    **values: Any,
) -> str:
    """Return a self-contained page: no script, no font, no address outside it.

    Args:
        template: file of `release/pages`; it extends `report_page.html`.
        report: plain values, with `histograms` as `lanes.report_figures.Histogram` has them.
        tiles: (name, value) of the figures at the top.
        styles: further files of `release/pages` behind the shared style.
        values: what the template names beside the report's own fields.
    """
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, loader=jinja2.FunctionLoader(_read_page)
    )
    environment.filters |= {
        "number": write_number,
        "share": write_share,
        "size": write_size,
        "agreed": lambda value: "–" if value is None else f"{value:.2f}",
    }
    return environment.get_template(template).render(
        {**report},
        style="".join(_read_page(name) for name in (_STYLE, *styles)),
        tiles=[{"name": name, "value": value} for name, value in tiles],
        plots=[draw_plot(histogram) for histogram in report["histograms"]],
        **values,
    )


def _read_page(name: str) -> str:
    return (resources.files("mmpipe.release") / "pages" / name).read_text(encoding="utf-8")


def draw_plot(histogram: Mapping[str, Any]) -> dict[str, Any]:
    """Return the bars and limit marks of a histogram in the units of its 330 x 120 drawing."""
    counts, edges = histogram["counts"], histogram["edges"]
    low, high = edges[0], edges[-1]
    most = max([*counts, 1])
    width = _WIDTH / len(counts)

    def place(value: float) -> float:
        return float(round((value - low) / (high - low) * _WIDTH, 2))

    lows = [least for _, least, _ in histogram["limits"] if least is not None]
    highs = [greatest for _, _, greatest in histogram["limits"] if greatest is not None]
    bars = []
    for number, count in enumerate(counts):
        left, right = edges[number], edges[number + 1]
        # a few rows among thousands are what a limit takes: they must be seen
        height = max(round(count / most * (_BASE - _TOP), 2), _LEAST_HEIGHT) if count else 0.0
        # the first bin of a count that may be 0 at most begins at its limit, and holds what is kept
        is_above = any(left >= limit for limit in highs) and number > 0
        is_out = is_above or any(right <= limit for limit in lows)
        title = f"{write_number(count)} rows from {write_number(left)} to {write_number(right)}"
        bar = {"x": round(number * width, 2), "y": round(_BASE - height, 2), "width": round(width * 0.9, 2)}
        bars.append({**bar, "height": height, "is_out": is_out, "title": title})
    marks = [_mark(place(limit), limit) for limit in sorted({*lows, *highs}) if low <= limit <= high]
    beyond = [write_number(limit) for limit in sorted({*lows, *highs}) if not low <= limit <= high]
    notes = [", ".join(name for name, *_ in histogram["limits"])]
    notes += [f"limit {', '.join(beyond)} lies outside the plot"] if beyond else []
    notes += [f"{write_number(histogram['unmeasured'])} not measured"] if histogram["unmeasured"] else []
    return {
        "signal": histogram["signal"],
        "bars": bars,
        "marks": marks,
        "low": write_number(low),
        "high": write_number(high),
        "note": "; ".join(notes),
    }


def _mark(x: float, limit: float) -> dict[str, Any]:
    is_right = x > _WIDTH * 0.8
    return {
        "x": x,
        "text_x": x - 3 if is_right else x + 3,
        "anchor": "end" if is_right else "start",
        "label": write_number(limit),
    }


def write_number(value: float) -> str:
    """Return a number as people read it: thousands apart, small ones with three digits."""
    if isinstance(value, int) or float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def write_share(value: float) -> str:
    """Return a share in percent."""
    return f"{value:.1%}" if value >= 0.001 or not value else f"{value:.1e}"


def write_size(count: int) -> str:
    """Return bytes in the largest unit below them."""
    size: float = count
    units: Sequence[str] = ("B", "kB", "MB", "GB", "TB", "PB")
    for unit in units:
        if size < 1000 or unit == units[-1]:
            break
        size /= 1000
    return f"{size:.3g} {unit}"
