"""The ingest chain with each of its jobs submitted through an Airflow connection."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from millstream.contracts.contract import Contract
from millstream_airflow.engines import Attempt, engine_for
from tests.support.chain import Chain


class SubmittedChain(Chain):
    def __init__(
        self, folder: Path, contract: Contract, suite: dict[str, Any], root: str, conn_id: str
    ) -> None:
        # No session of its own: nothing here asks for one.
        super().__init__(None, folder, contract, suite, root)  # type: ignore[arg-type]
        self._conn_id = conn_id

    def job(self, name: str, run: str, **arguments: Any) -> dict[str, Any]:
        attempt = Attempt(f"ingest_{self.contract.dataset}", run, name, -1, 1)
        given = {"lake_root": self.root, "run": run, **arguments}
        return engine_for(self._conn_id).run(name, given, attempt, {})
