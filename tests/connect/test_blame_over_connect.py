"""What a transform and its CHECKS do wrong is told over Connect too, where Spark looks at it later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from millstream.engines import sessions
from millstream.errors import TransformError
from millstream.settings import Settings
from millstream.transforms import flights as module
from tests.support.chain import Chain, contract_of, month_zip, small_suite
from tests.support.flights_rows import UA1545

PATH = "spark_jobs/millstream/transforms/flights.py"
WRONG = (
    ("whole(rows).withColumn('gate', F.col('gaet'))", "UNRESOLVED_COLUMN"),
    ("whole(rows).withColumn('flight', (F.col('flight') / 0).cast('int'))", "DIVIDE_BY_ZERO"),
    (
        "whole(rows).withColumn('carrier', F.udf(lambda text: text.nope)('carrier'))",
        "AttributeError: 'str' object",
    ),
)


def test_what_is_declared_wrong_is_told_in_one_line(
    server: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract = contract_of("flights")
    with sessions.connect(server.connect_url, "blame/1", [], tag="blame") as spark:
        chain = Chain(spark, tmp_path, contract, small_suite())
        chain.put("flights/flights_2013-01.csv.zip", month_zip(UA1545))
        chain.land("r1", ["2013-01"])
        for expression, why in WRONG:
            scope: dict[str, Any] = {**vars(module), "whole": module.transform}
            # As if it stood in the module's own file, in line 1002.
            source = "\n" * 1000 + f"def transform(rows):\n    return {expression}\n"
            exec(compile(source, str(module.__file__), "exec"), scope)
            with monkeypatch.context() as patch:
                patch.setattr(module, "transform", scope["transform"])
                with pytest.raises(TransformError) as failure:
                    chain.transform("r1", "etl")
            told = str(failure.value)
            assert told.startswith(PATH)
            assert why in told
            assert told.endswith("What to do: correct it there, then clear the task")
            assert "\n" not in told
        chain.contract = contract.model_copy(update={"checks": {"wrong": "seets > 0"}})
        with pytest.raises(
            TransformError, match=r"flights\.yaml: the CHECK wrong \(seets > 0\) cannot be read: "
        ) as lost:
            chain.transform("r1", "etl")
    assert "`seets`" in str(lost.value)
    assert "\n" not in str(lost.value)
