"""Dashboards: notebooks in `dashboards/`, served without their code behind Airflow's logins.

A notebook asks the lake with `query`:

    from millstream_stack.dashboards import query
    query("SELECT origin, hour, dep_delay_min FROM gold.delays_by_airport_and_hour")
"""

from millstream_stack.dashboards.lake import NoTableError, query, table_exists

__all__ = ["NoTableError", "query", "table_exists"]
