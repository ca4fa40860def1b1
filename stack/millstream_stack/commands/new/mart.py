"""`make new MART=sales FROM=silver.orders`: a SELECT to begin with, and its DAG file."""

from __future__ import annotations

from rich.console import Console

from millstream.errors import ConfigurationError
from millstream.lake import history
from millstream.lake.tables import TableRef
from millstream.marts import READABLE, load_mart
from millstream.settings import Settings
from millstream_stack.commands.new.files import require_name, write

SELECT = """/*
description: What a row of {name} is.
# Columns that are unique together, comments of columns, and how the page draws the rows:
# key: []
# columns: {{}}
# chart: {{x: , y: }}
*/
SELECT
{columns}
FROM {table}
"""
DAG = """from millstream_airflow.pipelines.marts import mart_dag

dag = mart_dag("{name}")
"""


def new_mart(settings: Settings, name: str, origin: str, screen: Console) -> None:
    """Write `marts/<name>.sql`, with the columns of table `origin`, and `dags/mart_<name>.py`; without
    `origin` the DAG file alone, of a SELECT that is there.

    Raises: ConfigurationError when a file is there already, or the table has never been published;
        ContractError when the SELECT is wrong.
    """
    dag = {settings.project / "dags" / f"mart_{require_name(name)}.py": DAG.format(name=name)}
    if not origin:
        load_mart(settings.project, name)
        write(dag, settings.project, screen)
        return
    table = TableRef.parse(origin)
    present = history.read(table, settings.lake_root).now if table.zone in READABLE else None
    if present is None:
        raise ConfigurationError(
            f"{table} cannot be read: a mart reads published tables of {', '.join(READABLE)}; make sql "
            "lists them"
        )
    columns = [one for one in present.column_names if not one.startswith("_")]
    select = SELECT.format(name=name, columns=",\n".join(f"  {one}" for one in columns), table=table)
    files = {
        settings.project / "marts" / f"{name}.sql": select,
        **dag,
    }
    write(files, settings.project, screen)
    screen.print("Now write the SELECT; the DAG runs when its tables change.")
