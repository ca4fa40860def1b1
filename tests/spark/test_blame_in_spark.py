"""What a transform does wrong: a permanent error in one line, with the file and the line of it."""

from __future__ import annotations

from typing import Any

import pytest
from pyspark.errors import AnalysisException
from pyspark.sql import SparkSession

from millstream import blame
from millstream.errors import PermanentError, SourceDataError, TransformError
from millstream.transforms import flights as module
from tests.support.chain import Chain, contract_of, month_zip, small_suite
from tests.support.flights_rows import POSITIVE_DISTANCE, UA1545

pytestmark = pytest.mark.spark

PATH = "spark_jobs/millstream/transforms/flights.py"
WRONG = {
    "a column that is not there": (
        "return whole(rows).withColumn('gate', F.col('gaet'))",
        "UNRESOLVED_COLUMN",
    ),
    "a name that is not there": ("return whole(rows).withColumn('x', trip)", "NameError: name 'trip' is not"),
    "a value that cannot be": (
        "return whole(rows).withColumn('flight', (F.col('flight') / 0).cast('int'))",
        "DIVIDE_BY_ZERO",
    ),
    "a function that fails": (
        "return whole(rows).withColumn('carrier', F.udf(lambda text: text.nope)('carrier'))",
        "AttributeError: 'str' object has no attribute 'nope'",
    ),
}


@pytest.fixture(scope="module")
def landed(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Chain:
    chain = Chain(
        spark, tmp_path_factory.mktemp("blamed"), contract_of("flights"), small_suite(POSITIVE_DISTANCE)
    )
    chain.put("flights/flights_2013-01.csv.zip", month_zip(UA1545))
    chain.land("r1", ["2013-01"])
    return chain


@pytest.mark.parametrize("case", WRONG)
def test_what_a_transform_does_wrong_is_told_with_its_place(
    landed: Chain, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    line, why = WRONG[case]
    scope: dict[str, Any] = {**vars(module), "whole": module.transform}
    # As if it stood in the module's own file, in line 1002.
    source = "\n" * 1000 + f"def transform(rows):\n    {line}\n"
    exec(compile(source, str(module.__file__), "exec"), scope)
    monkeypatch.setattr(module, "transform", scope["transform"])
    with pytest.raises(TransformError) as failure:
        landed.transform("r1", "etl")
    told = str(failure.value)
    assert told.startswith(f"{PATH}, line 1002: ")
    assert why in told
    assert told.endswith("Nothing was published. What to do: correct it there, then clear the task")
    assert "\n" not in told
    assert "\tat " not in told
    assert isinstance(failure.value, PermanentError)


def test_nobody_is_blamed_for_what_has_gone_or_for_what_the_platform_does(spark: SparkSession) -> None:
    declared = blame.declaration("transform", {"contract": {"dataset": "flights"}})
    assert declared is not None
    with pytest.raises(AnalysisException) as gone:
        spark.read.format("delta").load("/nowhere").collect()
    assert blame.fault(gone.value, declared) is None
    with pytest.raises(ZeroDivisionError) as own:
        _ = 1 / 0
    assert blame.fault(own.value, declared) is None
    assert blame.declaration("publish", {"table": "silver.flights"}) is None
    with pytest.raises(SourceDataError, match="as it was"), blame.blaming(declared):
        raise SourceDataError("as it was")
