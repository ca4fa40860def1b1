"""`make new MART=sales FROM=silver.orders`: a SELECT to begin with, and its DAG file."""

from __future__ import annotations

from rich.console import Console

from millstream.contracts.periods import is_month
from millstream.errors import ConfigurationError
from millstream.lake import history
from millstream.lake.tables import TableRef
from millstream.marts import READABLE, load_mart
from millstream.settings import Settings
from millstream_stack.commands.new.files import names_in, require_name, write

SELECT = """/*
description: What a row of {name} is.
{key}{by_month}# chart: {{x: , y: }}
*/
SELECT
{columns}
FROM {table}
"""
KEY = """key: [{key}]
# Comments of columns, and how the page draws the rows:
# columns: {{}}
"""
NO_KEY = """# Columns that are unique together, comments of columns, and how the page draws the rows:
# key: []
# columns: {}
"""
BY_MONTH = """# Makes only the months anew whose rows have changed, where each row follows from its own month:
# partition: {column}
"""
DAG = """from millstream_airflow.pipelines.marts import mart_dag

dag = mart_dag("{name}")
"""


def new_mart(settings: Settings, name: str, origin: str, screen: Console, key: str = "") -> None:
    """Write `marts/<name>.sql`, with the columns of table `origin`, and `dags/mart_<name>.py`; without
    `origin` the DAG file alone, of a SELECT that is there. `key`: columns, with commas, that are unique
    together.

    Raises: ConfigurationError when a file is there already, the table has never been published, or has not
        the columns of the key; ContractError when the SELECT is wrong.
    """
    dag = {settings.project / "dags" / f"mart_{require_name(name)}.py": DAG.format(name=name)}
    said = names_in(key)
    if not origin:
        if said:
            raise ConfigurationError(f"KEY: marts/{name}.sql is written already: its head says its key")
        load_mart(settings.project, name)
        write(dag, settings.project, screen)
        return
    table = TableRef.parse(origin)
    read = history.read(table, settings.lake_root) if table.zone in READABLE else None
    present = read.now if read else None
    if read is None or present is None:
        raise ConfigurationError(
            f"{table} cannot be read: a mart reads published tables of {', '.join(READABLE)}; make sql "
            "lists them"
        )
    columns = [one for one in present.column_names if not one.startswith("_")]
    if unknown := [one for one in said if one not in columns]:
        raise ConfigurationError(
            f"KEY: {table} has no column {', '.join(unknown)}; it has {', '.join(columns)}"
        )
    head = KEY.format(key=", ".join(said)) if said else NO_KEY
    selected = ",\n".join(f"  {one}" for one in columns)
    by_month = all(is_month(period) for period in read.latest_by_partition())
    cut_by = "".join(BY_MONTH.format(column=one) for one in present.partition_columns if by_month)
    select = SELECT.format(name=name, key=head, by_month=cut_by, columns=selected, table=table)
    files = {
        settings.project / "marts" / f"{name}.sql": select,
        **dag,
    }
    write(files, settings.project, screen)
    screen.print("Now write the SELECT; the DAG runs when its tables change.")
