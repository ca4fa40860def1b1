"""The chart of a staged table on its page: SVG, made here, without a script."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from millstream.marts import Chart

# More points than this are no picture; what is drawn then is the first of them.
MOST_POINTS = 2000
MOST_LINES = 12


def svg(rows: DataFrame, chart: Chart) -> str:
    """The chart of `rows` as an `svg` element. One action."""
    by = F.col(chart.by).cast("string") if chart.by else F.lit("")
    points = (
        rows.select(by, F.col(chart.x), F.col(chart.y).cast("double"))
        .where(F.col(chart.x).isNotNull())
        .orderBy(chart.x, by)
        .limit(MOST_POINTS)
        .collect()
    )
    # Arrives with Great Expectations' page, which takes longer to import.
    import matplotlib as mpl
    from matplotlib.figure import Figure

    # Text stays text, and what a table holds is no formula.
    with mpl.rc_context({"svg.fonttype": "none", "text.parse_math": False, "svg.hashsalt": "millstream"}):
        figure = Figure(figsize=(9, 4), layout="constrained")
        axes: Any = figure.subplots()
        axes.set(xlabel=chart.x, ylabel=chart.y)
        axes.grid(alpha=0.3)
        _draw(axes, [tuple(point) for point in points], chart.by)
        written = io.StringIO()
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    text = written.getvalue()
    return text[text.index("<svg") :]


def _draw(axes: Any, points: Sequence[tuple[str, Any, float | None]], by: str | None) -> None:
    names = list(dict.fromkeys(name for name, _, _ in points))[:MOST_LINES]
    texts = points and isinstance(points[0][1], str)
    places = list(dict.fromkeys(x for _, x, _ in points))
    width = 0.8 / max(1, len(names))
    for number, name in enumerate(names):
        own = {x: math.nan if y is None else y for label, x, y in points if label == name}
        if texts and by:
            at = [place + (number - (len(names) - 1) / 2) * width for place in range(len(places))]
            axes.bar(at, [own.get(place, math.nan) for place in places], width, label=name)
        elif texts:
            axes.plot(range(len(places)), [own.get(place, math.nan) for place in places], marker="o")
        else:
            axes.plot(list(own), list(own.values()), marker=".", label=name)
    if texts:
        axes.set_xticks(range(len(places)), places, rotation=45 if len(places) > 12 else 0)
    if by:
        axes.legend(title=by, fontsize="small")
