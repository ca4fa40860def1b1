"""The chart of the live page: mean arrival delay by hour, a line for each airport. SVG, without a script."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Template

    from millstream.streams.snapshot import HourlyDelays

WIDTH, HEIGHT = 760, 240
LEFT, RIGHT, TOP, BOTTOM = 44, 60, 12, 28
COLOURS = ("#1f6feb", "#d9822b", "#1a7f37", "#8250df", "#b00020")
HOUR = timedelta(hours=1)
# At most so many hours are written below the axis.
LABELS = 8

CHART = """<h2>Mean delay at arrival by hour of the events (UTC), minutes</h2>
<svg width="{{ width }}" height="{{ height }}" role="img" aria-label="Mean delay by airport and hour">
{% for place, text in levels %}
<line x1="{{ left }}" x2="{{ end }}" y1="{{ place }}" y2="{{ place }}" stroke="#ddd"/>
<text x="{{ left - 6 }}" y="{{ place + 4 }}" text-anchor="end">{{ text }}</text>{% endfor %}
{% for place, text in hours %}
<text x="{{ place }}" y="{{ height - 8 }}" text-anchor="middle">{{ text }}</text>{% endfor %}
{% for line in lines %}<polyline class="line" stroke="{{ line.colour }}" points="{{ line.points }}"/>
<text x="{{ end + 6 }}" y="{{ line.at }}" style="fill: {{ line.colour }}">{{ line.airport }}</text>
{% endfor %}</svg>"""


def chart(figures: Sequence[HourlyDelays]) -> str:
    """The chart as HTML whose texts are escaped; empty where nobody has arrived."""
    from markupsafe import Markup

    means = {(one.airport, one.hour): one.arrival_delay_min / one.arrived for one in figures if one.arrived}
    if not means:
        return ""
    hours = _every_hour({one.hour for one in figures})
    low, high = min(0.0, *means.values()), max(15.0, *means.values())
    step = (WIDTH - LEFT - RIGHT) / max(1, len(hours) - 1)
    across = {hour: round(LEFT + number * step, 1) for number, hour in enumerate(hours)}

    def down(minutes: float) -> float:
        return round(TOP + (high - minutes) / (high - low) * (HEIGHT - TOP - BOTTOM), 1)

    lines = []
    for number, airport in enumerate(sorted({airport for airport, _ in means})):
        own = [(across[hour], down(means[airport, hour])) for hour in hours if (airport, hour) in means]
        lines.append(
            {
                "airport": airport,
                "colour": COLOURS[number % len(COLOURS)],
                "points": " ".join(f"{x},{y}" for x, y in own),
                # Names stand one below the other, so that lines which end together hide none.
                "at": TOP + 12 + 16 * number,
            }
        )
    drawn = _template().render(
        width=WIDTH,
        height=HEIGHT,
        left=LEFT,
        end=WIDTH - RIGHT,
        levels=[(down(level), f"{level:.0f}") for level in sorted({low, 0.0, high})],
        hours=[(across[hour], f"{hour[5:10]} {hour[11:16]}") for hour in hours[:: 1 + len(hours) // LABELS]],
        lines=lines,
    )
    # Escaped by the template already.
    return Markup(drawn)


def _every_hour(hours: Collection[str]) -> list[str]:
    """From the first to the last one, also those without a figure."""
    first, last = (datetime.fromisoformat(hour) for hour in (min(hours), max(hours)))
    return [str(first + number * HOUR) for number in range(int((last - first) / HOUR) + 1)]


@cache
def _template() -> Template:
    from jinja2 import Environment

    return Environment(autoescape=True).from_string(CHART)
