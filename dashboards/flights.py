"""Delays by airport, hour, airline and weather, by month, and how well the model answers."""

import marimo

app = marimo.App(width="medium", app_title="Flights")


@app.cell
def _():
    import altair as alt
    import marimo as mo

    from millstream_stack.dashboards import query, table_exists

    return alt, mo, query, table_exists


@app.cell
def _(mo):
    mo.md("# Flights")
    return


@app.cell
def _(mo, query):
    hours = query("SELECT * FROM gold.delays_by_airport_and_hour ORDER BY origin, hour")
    airport = mo.ui.dropdown(
        ["all", *sorted(hours["origin"].unique())], value="all", label="Airport of departure"
    )
    airport
    return airport, hours


@app.cell
def _(airport, hours, mo):
    chosen = hours if airport.value == "all" else hours[hours["origin"] == airport.value]
    flown = chosen["flights"] - chosen["cancelled"]
    mo.hstack(
        [
            mo.stat(f"{chosen['flights'].sum():,}", label="flights"),
            mo.stat(f"{chosen['cancelled'].sum() / chosen['flights'].sum():.1%}", label="cancelled"),
            mo.stat(
                f"{(chosen['dep_delay_min'] * flown).sum() / flown.sum():.1f} min",
                label="mean departure delay",
            ),
        ],
        justify="start",
    )
    return (chosen,)


@app.cell
def _(alt, chosen, mo):
    mo.vstack(
        [
            mo.md("## When flights leave late"),
            alt.Chart(chosen)
            .mark_line(point=True)
            .encode(
                x=alt.X("hour:Q", title="scheduled hour of departure, local"),
                y=alt.Y("dep_delay_min:Q", title="mean departure delay, minutes"),
                color=alt.Color("origin:N", title="airport"),
                tooltip=["origin", "hour", "flights", "cancelled", "dep_delay_min"],
            )
            .properties(width="container", height=260),
        ]
    )
    return


@app.cell
def _(airport, alt, mo, query):
    months = query(
        """
        SELECT month, count(*) AS flights,
            avg(CASE WHEN arr_delay_min > 15 THEN 1.0 WHEN arr_delay_min <= 15 THEN 0.0 END) AS late_share
        FROM silver.flights WHERE $airport = 'all' OR origin = $airport GROUP BY month ORDER BY month
        """,
        airport=airport.value,
    )
    bars = (
        alt.Chart(months)
        .mark_bar()
        .encode(
            x=alt.X("month:N", title=None, axis=alt.Axis(labelAngle=0)),
            y=alt.Y("late_share:Q", title="arrivals more than 15 minutes late", axis=alt.Axis(format="%")),
            tooltip=["month", "flights", alt.Tooltip("late_share", format=".1%")],
        )
        .properties(width="container", height=220)
    )
    mo.vstack([mo.md("## By month"), bars])
    return


@app.cell
def _(alt, mo, query, table_exists):
    mo.stop(not table_exists("gold.delays_by_carrier_and_weather"))
    carriers = query("SELECT * FROM gold.delays_by_carrier_and_weather WHERE flights >= 100")
    grid = (
        alt.Chart(carriers)
        .mark_rect()
        .encode(
            x=alt.X("weather:N", title=None, axis=alt.Axis(labelAngle=0)),
            y=alt.Y("airline:N", title=None),
            color=alt.Color("dep_delay_min:Q", title="mean delay, min", scale=alt.Scale(scheme="orangered")),
            tooltip=[
                "airline",
                "weather",
                "flights",
                "dep_delay_min",
                alt.Tooltip("cancelled_share", format=".1%"),
            ],
        )
        .properties(width="container", height=320)
    )
    mo.vstack([mo.md("## Airlines and weather"), grid])
    return


@app.cell
def _(mo, query, table_exists):
    mo.stop(not table_exists("gold.model_quality_by_month"))
    quality = query("SELECT * FROM gold.model_quality_by_month ORDER BY month")
    mo.vstack(
        [
            mo.md("## The model of late arrivals, by month"),
            mo.ui.table(quality, selection=None, pagination=False),
        ]
    )
    return


if __name__ == "__main__":
    app.run()
