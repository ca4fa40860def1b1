"""A lake whose views of delays are compared as the DAG `compare_views` does it, task by task."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path
from typing import Any, Literal, get_args

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from millstream import jobs
from millstream.engines.mapreduce import AIRPORT_DELAYS, LocalRunner
from millstream.errors import ReconciliationError
from millstream.lake.storage import local_uri
from millstream.lake.tables import text_folders
from millstream.settings import Settings
from millstream.streams import compared, pins
from tests.support.airport_delays import build, rows_of
from tests.support.streaming import stream

RUN = "r1"
Change = Literal["altered", "dropped", "doubled"]
CHANGES: tuple[Change, ...] = get_args(Change)


class ComparedLake:
    """The lake in `folder`, of which the flights from `first_day` to `last_day` are compared."""

    def __init__(self, spark: SparkSession, folder: Path, first_day: date, last_day: date) -> None:
        self.spark, self.stream = spark, stream(local_uri(folder / "lake"))
        self.folder, self.root = folder / "lake", self.stream.lake_root
        self._days = {"first_day": str(first_day), "last_day": str(last_day)}

    def compare(self) -> dict[str, Any]:
        self.reduce()
        return self.compare_reduced()

    def reduce(self) -> None:
        """What MapReduce makes of the records as bronze has them."""
        pinned = self._pinned()
        exported = jobs.execute(self.spark, "export_records", self._arguments(pinned))
        assert exported["rows"] == pinned.offsets.position
        folders = text_folders(AIRPORT_DELAYS.name, RUN)
        output = self.folder / folders.output
        shutil.rmtree(output, ignore_errors=True)
        runner = LocalRunner(jars=Settings().root / ".millstream" / "jars", scratch=output.parent)
        runner.run(AIRPORT_DELAYS, self.folder / folders.input, output)

    def compare_reduced(self) -> dict[str, Any]:
        """With what MapReduce has made before: bronze is still the same."""
        return jobs.execute(self.spark, "compare_views", {**self._arguments(self._pinned()), **self._days})

    def _pinned(self) -> pins.Pins:
        pinned = pins.pin(self.root)
        assert pinned is not None
        return pinned

    def _arguments(self, pinned: pins.Pins) -> dict[str, Any]:
        return {"lake_root": self.root, "run": RUN, "pins": pinned.model_dump(mode="json")}

    def differences(self, reduced: bool = False) -> list[tuple[str, str, tuple[str, ...]]]:
        """Kind, key and events of each, by the stored comparison; the job has failed for them."""
        with pytest.raises(ReconciliationError) as error:
            self.compare_reduced() if reduced else self.compare()
        stored = compared.read(self.root)
        assert stored is not None
        assert all(str(one) in str(error.value) for one in stored.differences)
        assert stored.different == len(stored.differences)
        return [(one.kind, one.key, one.event_ids) for one in stored.differences]

    def alter(self, event_id: str, minutes: int) -> None:
        """The departure delay of an event in silver."""
        self._change(
            f"UPDATE {{silver}} SET dep_delay_min = dep_delay_min + {minutes} WHERE {{chosen}}", event_id
        )

    def change(self, change: Change, event_id: str) -> None:
        """One event in silver, a departure."""
        match change:
            case "altered":
                self.alter(event_id, 1)
            case "dropped":
                self._change("DELETE FROM {silver} WHERE {chosen}", event_id)
            case "doubled":
                self._change("INSERT INTO {silver} SELECT * FROM {silver} WHERE {chosen}", event_id)

    def _change(self, statement: str, event_id: str) -> None:
        silver = f"delta.`{self.stream.silver.uri(self.root)}`"
        self.spark.sql(statement.format(silver=silver, chosen=f"event_id = '{event_id}'"))

    def group_of(self, event_id: str) -> str:
        where = F.col("event_id") == event_id
        row = rows_of(self.spark, self.stream, self.stream.silver).where(where).collect()[0]
        return f"{row['origin']}/{row['carrier']}/{row['event_time'].replace(minute=0, second=0)}"

    def assert_named(self, change: Change, event_id: str, reduced: bool = False) -> None:
        """A departure that is changed in silver is named with its group and its flight, and nothing else."""
        group, flight = self.group_of(event_id), event_id.removesuffix("/departed")
        self.change(change, event_id)
        # Of the stream's view and this one, which are of one position, this one is served.
        build(self.spark, self.stream, "r2")
        found = self.differences(reduced)
        assert found[:2] == [("group", group, (event_id,)), ("event", event_id, (event_id,))]
        flights = [] if change == "doubled" else [("flight", flight)]
        assert [one[:2] for one in found[2:]] == flights
        assert all(one.startswith(flight) for *_, ids in found[2:] for one in ids)
