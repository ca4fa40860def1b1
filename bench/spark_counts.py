"""Seconds, Spark jobs and table scans of a piece of work, from Spark's own books."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pyspark.sql import SparkSession


@dataclass(frozen=True)
class Measured:
    """`jobs` that Spark ran (with adaptive execution a shuffle is one), `scans` of files in their plans."""

    seconds: float
    jobs: int
    scans: int


def measure(spark: SparkSession, work: Callable[[], Any]) -> Measured:
    """Do `work` once, in a job group of its own."""
    context: Any = spark.sparkContext
    group = uuid.uuid4().hex
    context.setJobGroup(group, "benchmark")
    before = _last_execution(spark)
    start = time.perf_counter()
    work()
    seconds = time.perf_counter() - start
    # Spark keeps its books in another thread.
    context._jsc.sc().listenerBus().waitUntilEmpty()
    return Measured(
        seconds=round(seconds, 2),
        jobs=len(context.statusTracker().getJobIdsForGroup(group)),
        scans=_scans_after(spark, before),
    )


def _executions(spark: Any) -> tuple[Any, list[int]]:
    store = spark._jsparkSession.sharedState().statusStore()
    executions = store.executionsList()
    return store, [executions.apply(place).executionId() for place in range(executions.size())]


def _last_execution(spark: SparkSession) -> int:
    return max(_executions(spark)[1], default=-1)


def _scans_after(spark: SparkSession, last: int) -> int:
    store, executions = _executions(spark)
    scans = 0
    for execution in executions:
        if execution > last:
            nodes = store.planGraph(execution).allNodes()
            names = [nodes.apply(place).name() for place in range(nodes.size())]
            scans += sum(name.startswith("Scan parquet") for name in names)
    return scans
