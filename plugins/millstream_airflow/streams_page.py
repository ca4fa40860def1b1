"""The live page of the streams: what each says of itself; the browser makes no figure.

It loads itself anew every two seconds, without a script.
"""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING

from millstream_airflow.delays_chart import chart

if TYPE_CHECKING:
    from jinja2 import Template

# A stream shows life every few seconds; a micro-batch may take longer.
STALE_S = 30.0

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="UTF-8"><meta http-equiv="refresh" content="2"><title>Streams</title>
<style>
body { font: 15px/1.4 sans-serif; margin: 2em; color: #222 }
table { border-collapse: collapse; margin: 1em 0 }
td, th { padding: .25em .8em; border-bottom: 1px solid #ddd; text-align: right }
td:first-child, th:first-child, td.text, th.text { text-align: left }
.bad { background: #b00020; color: white; padding: .4em .8em; display: inline-block }
.good { color: #1a7f37 }
.line { fill: none; stroke-width: 2 }
svg text { font-size: 11px; fill: #444 }
.bar { background: #d9822b; height: .8em; display: inline-block }
</style></head><body>
{% for seen, age, chart, alerts, alerts_age in streams %}
<h1>{{ seen.stream }}</h1>
{% if seen.state != "running" %}
<p class="bad">{{ seen.state }}{% if seen.reason %}: {{ seen.reason }}{% endif %}</p>
{% elif age > stale_s %}<p class="bad">Stale: no sign of life for {{ age | round | int }} s</p>
{% else %}<p class="good">running, as of {{ seen.at.strftime("%H:%M:%S") }} UTC</p>{% endif %}
{% if seen.fresh_at %}<p>silver has all that the topic had on
{{ seen.fresh_at.strftime("%Y-%m-%d at %H:%M:%S") }} UTC</p>{% endif %}
<table><tr><th>position</th><th>behind</th><th>events/s</th><th>newest batch</th><th>read</th><th>written</th>
<th>quarantined</th><th>deduplicated</th></tr>
<tr><td>{{ seen.position }}</td><td>{{ seen.lag }}</td><td>{{ "%.0f" | format(seen.events_per_s) }}</td>
<td>{{ "%.1f" | format(seen.batch_s) }} s</td><td>{{ seen.read }}</td><td>{{ seen.written }}</td>
<td>{{ seen.quarantined }}</td><td>{{ seen.deduplicated }}</td></tr></table>
{{ chart }}
{% if alerts %}<h2>Alerts</h2>
{% if alerts.state != "running" %}
<p class="bad">{{ alerts.state }}{% if alerts.reason %}: {{ alerts.reason }}{% endif %}</p>
{% elif alerts_age > stale_s %}
<p class="bad">Stale: no sign of life of the alerts for {{ alerts_age | round | int }} s</p>{% endif %}
<p>{{ alerts.sent }} sent to the topic {{ alerts.topic }}{% if alerts.latest %}, the last:{% endif %}</p>
{% if alerts.latest %}<table><tr><th>sent, UTC</th><th class="text">alert</th><th class="text">event</th></tr>
{% for one in alerts.latest %}
<tr><td>{{ one.sent.strftime("%H:%M:%S") }}</td><td class="text">{{ one.alert }}</td>
<td class="text">{{ one.event_id }}</td></tr>
{% endfor %}</table>{% endif %}{% endif %}
{% if seen.delays %}<h2>Delays by airport and carrier, last 24 hours of events</h2>
<table><tr><th>airport</th><th class="text">carrier</th><th>scheduled</th><th>departed</th><th>cancelled</th>
<th>arrived</th><th>mean delay at arrival</th><th>late arrivals</th><th class="text"></th></tr>
{% for one in seen.delays %}
<tr><td>{{ one.airport }}</td><td class="text">{{ one.carrier }}</td><td>{{ one.scheduled }}</td>
<td>{{ one.departed }}</td><td>{{ one.cancelled }}</td><td>{{ one.arrived }}</td>
{% if one.arrived %}{% set late = 100 * one.late_arrivals / one.arrived %}
<td>{{ "%.1f" | format(one.arrival_delay_min / one.arrived) }} min</td><td>{{ "%.0f" | format(late) }} %</td>
<td class="text"><span class="bar" style="width: {{ "%.0f" | format(late) }}px"></span></td>
{% else %}<td></td><td></td><td></td>{% endif %}</tr>
{% endfor %}</table>{% endif %}
{% if seen.predictions %}
<h2>Late arrivals predicted one hour before departure, last 24 hours of events</h2>
{% if seen.predictions.reason %}<p class="bad">{{ seen.predictions.reason }}</p>{% endif %}
{% if seen.predictions.until %}<p>by version {{ seen.predictions.model_version }}, for cutoffs until
{{ seen.predictions.until.strftime("%Y-%m-%d %H:%M") }} UTC, {{ seen.predictions.made }} so far</p>
<table><tr><th>from</th><th>predicted</th><th>of them late</th><th>landed</th><th>late arrivals expected</th>
<th>late arrivals</th><th>predicted so</th></tr>
{% for one in seen.predictions.outcomes %}
<tr><td>{{ one.airport }}</td><td>{{ one.predicted }}</td><td>{{ one.predicted_late }}</td>
<td>{{ one.landed }}</td><td>{{ "%.1f" | format(one.expected_late) }}</td><td>{{ one.late }}</td>
<td>{{ one.late_as_predicted }}</td></tr>
{% endfor %}</table>{% endif %}{% endif %}
{% if compared and loop.last %}<h2>Views compared</h2>
<p class="{{ "bad" if compared.different else "good" }}">{{ compared.at.strftime("%Y-%m-%d %H:%M") }} UTC,
as of position {{ compared.position }}:
{% if compared.different %}{{ compared.different }} keys differ{% else %}every row is the same{% endif %}</p>
<table><tr><th>side</th><th>groups</th><th>events</th><th>flights</th></tr>
{% for side in sides %}
<tr><td>{{ side }}</td><td>{{ compared.groups[side] }}</td><td>{{ compared.events[side] }}</td>
<td>{{ compared.flights[side] }}</td></tr>
{% endfor %}</table>
{% for one in compared.differences %}<p>{{ one }}</p>{% endfor %}{% endif %}
{% else %}<p>No stream has begun: <code>make streams-up</code> starts one.</p>{% endfor %}
</body></html>
"""


def streams_page(lake_root: str, now: datetime) -> str:
    """The page as HTML; what comes from data is escaped."""
    from millstream.streams import alert_snapshot, compared
    from millstream.streams.snapshot import read_all

    streams = []
    for seen in read_all(lake_root):
        alerts = alert_snapshot.read(lake_root, seen.stream)
        alerts_age = (now - alerts.at).total_seconds() if alerts else 0.0
        streams.append((seen, (now - seen.at).total_seconds(), chart(seen.hours), alerts, alerts_age))
    found = compared.read(lake_root)
    sides = list(dict.fromkeys((*found.groups, *found.events, *found.flights))) if found else []
    return _template().render(streams=streams, stale_s=STALE_S, compared=found, sides=sides)


@cache
def _template() -> Template:
    from jinja2 import Environment

    return Environment(autoescape=True).from_string(PAGE)
