"""An ingest whose contract breaks what was published ends in its first task: nothing is fetched."""

from __future__ import annotations

from pathlib import Path

import pytest

from millstream.errors import ContractError
from millstream.lake.storage import Storage
from millstream.landing.manifest import manifests_of
from millstream_airflow import catalog
from millstream_airflow.pipelines.ingest import plan
from tests.support.ledger_tables import publish


def test_plan_refuses_a_contract_that_breaks_its_readers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = f"file://{tmp_path}/lake"
    monkeypatch.setenv("MILLSTREAM_LAKE_ROOT", root)
    schema = catalog.contract("planes").schema_in_short()
    columns = {**schema["columns"], "wings": "int"}
    publish(root, "silver.planes", "r1", read=3, contract={**schema, "columns": columns})
    with pytest.raises(
        ContractError, match=r"planes\.yaml: version: .* column wings removed\. .* set version to 2"
    ):
        plan.function("planes")
    assert manifests_of(Storage(root), "planes") == []
