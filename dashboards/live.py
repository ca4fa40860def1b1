"""Delays as the stream of events tells of them, and predictions against what happened."""

import marimo

app = marimo.App(width="medium", app_title="Live")


@app.cell
def _():
    import altair as alt
    import marimo as mo

    from millstream_stack.dashboards import query, table_exists

    return alt, mo, query, table_exists


@app.cell
def _(mo):
    again = mo.ui.refresh(options=["10s", "1m"], default_interval="10s")
    mo.hstack([mo.md("# Live"), again])
    return (again,)


@app.cell
def _(again, mo, query):
    again
    hours = query(
        """
        SELECT airport, hour, sum(departed) AS departed, sum(late_departures) AS late,
            sum(arrived) AS arrived, sum(departure_delay_min) / nullif(sum(departed), 0) AS delay_min
        FROM gold.airport_delays GROUP BY airport, hour ORDER BY hour, airport
        """
    )
    mo.stop(hours.empty, mo.callout(mo.md("No events yet: the stream waits for the first."), "warn"))
    newest = hours["hour"].max()
    mo.hstack(
        [
            mo.stat(f"{newest:%d %b %Y %H:%M} UTC", label="newest hour"),
            mo.stat(f"{hours['departed'].sum():,.0f}", label="departures"),
            mo.stat(f"{hours['late'].sum() / max(hours['departed'].sum(), 1):.1%}", label="of them late"),
        ],
        justify="start",
    )
    return (hours,)


@app.cell
def _(alt, hours):
    (
        alt.Chart(hours)
        .mark_line(point=True)
        .encode(
            x=alt.X("hour:T", title="hour, UTC", scale=alt.Scale(type="utc")),
            y=alt.Y("delay_min:Q", title="mean departure delay, minutes"),
            color=alt.Color("airport:N", title="airport"),
            tooltip=["airport", "hour:T", "departed", "late", "delay_min"],
        )
        .properties(width="container", height=280)
    )
    return


@app.cell
def _(again, mo, query, table_exists):
    again
    mo.stop(
        not table_exists("gold.arrival_delay_live"),
        mo.md("_No predictions yet: they begin when there is a champion, which `make demo` trains._"),
    )
    scored = query(
        """
        SELECT p.origin AS airport, count(*) AS scored, count(e.arr_delay_min) AS arrived,
            avg(p.probability) AS expected_late,
            avg(CASE WHEN e.arr_delay_min > 15 THEN 1.0 WHEN e.arr_delay_min <= 15 THEN 0.0 END) AS were_late
        FROM gold.arrival_delay_live AS p
        LEFT JOIN silver.flight_events AS e ON e.event_type = 'arrived' AND e.flight_date = p.flight_date
            AND e.carrier = p.carrier AND e.flight = p.flight AND e.origin = p.origin
        GROUP BY 1 ORDER BY 1
        """
    )
    shares = dict.fromkeys(("expected_late", "were_late"), "{:.1%}".format)
    table = mo.ui.table(scored, selection=None, pagination=False, format_mapping=shares)
    mo.vstack([mo.md("## Predictions against what happened"), table])
    return


if __name__ == "__main__":
    app.run()
