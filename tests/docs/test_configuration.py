"""docs/configuration.md names every setting, connection and suite entry, with the defaults the code has."""

from __future__ import annotations

from pathlib import Path

from pydantic.fields import FieldInfo

from millstream.quality.suite import SuiteMeta
from millstream.settings import CHECKOUT, Settings
from millstream_airflow.tasks import alerts as notifier
from millstream_stack.credentials import Credentials
from millstream_stack.environment import airflow_connections
from millstream_stack.services.airflow_setup import POOLS

PAGE = CHECKOUT / "docs" / "configuration.md"
# Defaults that depend on where the checkout lies, in words.
DERIVED = {
    "root": "where the code lies",
    "project": "`<root>`",
    "home": "`<root>/.millstream`",
    "lake_root": "`file://<home>/lake`",
    "event_log_root": "`file://<home>/spark-events`",
    "hadoop_conf_dir": "`HADOOP_CONF_DIR`",
}


def settings_table() -> str:
    """The page's table of settings, as it must be."""
    rows = [_row(name, field) for name, field in Settings.model_fields.items()]
    return "\n".join(["| variable | default | what it is |", "|---|---|---|", *rows])


def _row(name: str, field: FieldInfo) -> str:
    default = DERIVED.get(name, f"`{field.default}`")
    what = (field.description or "").partition("; default")[0].removesuffix(".")
    return f"| `MILLSTREAM_{name.upper()}` | {default} | {what} |"


def test_the_settings_are_those_of_the_code() -> None:
    expected = settings_table()
    assert expected in PAGE.read_text(), f"put this table into {PAGE.name}:\n{expected}"


def test_every_connection_of_the_stack_is_named() -> None:
    text = PAGE.read_text()
    settings = Settings(root=Path("/checkout"))
    for variable in airflow_connections(settings, Credentials()):
        name = variable.removeprefix("AIRFLOW_CONN_").lower()
        assert f"| `{name}` |" in text, name
    for name in (notifier.WEBHOOK, notifier.SMTP):
        assert f"| `{name}` |" in text, name


def test_every_pool_is_named_with_its_slots() -> None:
    text = PAGE.read_text()
    for name, slots, _ in POOLS:
        assert f"| `{name}` | {slots} |" in text, name


def test_every_suite_entry_that_the_gate_reads_is_named() -> None:
    text = PAGE.read_text()
    for name in SuiteMeta.model_fields:
        assert f"| `{name}` |" in text, name
