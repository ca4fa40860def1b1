"""CHECKS of a transform: null passes, a change is applied, what breaks one changes nothing and is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from millstream.errors import PermanentError, TransformError
from millstream.lake import checks, history
from millstream.transforms import column
from millstream.transforms import flights as module
from tests.spark.test_look_back import Register
from tests.support.chain import Chain, contract_of, month_zip, small_suite
from tests.support.flights_rows import AA1141, B6725, EV4308, FEBRUARY, POSITIVE_DISTANCE, UA1545
from tests.support.replays import NEW

pytestmark = pytest.mark.spark

IN_THE_AIR = {"in_the_air": "air_time_min > 0 -- not for the cancelled"}
LONG = {"long": "distance_mi >= 500"}
FAR = {**IN_THE_AIR, "far": "distance_mi  >  '1' + 99 /* less is\nnear */ -- in miles"}


def declare(chain: Chain, wanted: dict[str, str]) -> None:
    chain.contract = chain.contract.model_copy(update={"checks": wanted})


def flights_in(spark: SparkSession, folder: Path) -> Chain:
    """January: four flights, one of them (EV4308) short and cancelled. February: one of 529 miles."""
    chain = Chain(spark, folder, contract_of("flights"), small_suite(POSITIVE_DISTANCE))
    chain.put("flights/flights_2013-01.csv.zip", month_zip(UA1545, AA1141, B6725, EV4308))
    chain.put("flights/flights_2013-02.csv.zip", month_zip(FEBRUARY))
    return chain


@pytest.fixture
def chain(spark: SparkSession, tmp_path: Path) -> Chain:
    return flights_in(spark, tmp_path)


@pytest.fixture(scope="module")
def january(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """Published while flights had to be in the air for some time; the cancelled one has a null there."""
    chain = flights_in(spark, tmp_path_factory.mktemp("january"))
    declare(chain, IN_THE_AIR)
    assert chain.run("r1", ["2013-01"])["written"] == 4
    return chain


def constraints(chain: Chain) -> set[str]:
    properties = DeltaTable(chain.table.uri(chain.root)).metadata().configuration
    return {name.removeprefix(checks.PROPERTY) for name in properties if name.startswith(checks.PROPERTY)}


def test_what_breaks_a_check_is_told_with_a_row_and_makes_no_table(chain: Chain) -> None:
    declare(chain, LONG)
    with pytest.raises(TransformError) as failure:
        chain.run("r1", ["2013-01"])
    told = str(failure.value)
    assert told.startswith(
        "silver.flights, run r1: 1 rows break the CHECK long (distance_mi >= 500), for example "
    )
    assert "flights_2013-01.csv.zip#4: flight_date=2013-01-01, carrier=EV, flight=4308" in told
    assert (
        "distance_mi=416.0. Nothing was published. What to do: correct the check in dags/datasets/flights"
        in told
    )
    assert "\n" not in told
    assert isinstance(failure.value, PermanentError)
    assert (chain.version(), history.version(chain.table.quarantine, chain.root)) == (None, None)


def test_rows_that_stay_are_looked_at_before_anything_changes(
    january: Chain, spark: SparkSession, tmp_path: Path
) -> None:
    chain = january.copied(spark, tmp_path)
    before = chain.version()
    assert constraints(chain) == {"in_the_air"}
    declare(chain, LONG)
    with pytest.raises(
        TransformError, match=r"silver.flights, published already: 1 rows break the CHECK long"
    ):
        chain.run("r2", ["2013-02"])
    assert (chain.version(), constraints(chain)) == (before, {"in_the_air"})


def test_changed_checks_come_with_the_next_publish(
    january: Chain, spark: SparkSession, tmp_path: Path
) -> None:
    chain = january.copied(spark, tmp_path)
    declare(chain, FAR)
    result = chain.run("r2", ["2013-02"])
    assert result["changed"]
    assert constraints(chain) == {"in_the_air", "far"}
    after = history.read(chain.table, chain.root)
    assert after.latest_by_partition()["2013-02"][0].version == result["version"]
    assert not any(commit.is_foreign for commit in after.commits)
    # What Delta has made of their text is not taken for another check.
    present = history.snapshot(chain.table.uri(chain.root))
    assert present is not None
    assert not checks.differ(present.properties, FAR)
    # Whoever writes: Delta itself refuses.
    near = chain.rows().limit(1).selectExpr("* except (distance_mi)", "1.0D as distance_mi")
    with pytest.raises(Exception, match="DELTA_VIOLATE_CONSTRAINT_WITH_VALUES"):
        near.write.format("delta").mode("append").save(chain.table.uri(chain.root))


def test_changed_checks_come_without_new_rows_too(
    january: Chain, spark: SparkSession, tmp_path: Path
) -> None:
    chain = january.copied(spark, tmp_path)
    before = chain.version()
    declare(chain, {"far": FAR["far"]})
    assert not chain.run("r2", ["2013-01"])["changed"]
    assert constraints(chain) == {"far"}
    assert history.read(chain.table, chain.root).unchanged_since(before)


def test_a_column_comes_together_with_a_check_on_it(
    january: Chain, spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = january.copied(spark, tmp_path)
    whole = module.transform
    gate = column("gate", "int", "Gate of departure")
    monkeypatch.setattr(module, "SCHEMA", (*module.SCHEMA, gate))
    monkeypatch.setattr(module, "transform", lambda rows: whole(rows).withColumn("gate", F.lit(7)))
    # The rows that stay have no gate.
    declare(chain, {"has_a_gate": "gate IS NOT NULL"})
    with pytest.raises(TransformError, match=r"published already: 4 rows break the CHECK has_a_gate"):
        chain.run("r2", ["2013-02"])
    assert "gate" not in chain.rows().columns
    declare(chain, {"gate_is_a_number": "gate > 0"})
    assert chain.run("r3", ["2013-02"])["changed"]
    assert constraints(chain) == {"gate_is_a_number"}
    assert {(row.month, row.gate) for row in chain.rows().collect()} == {("2013-01", None), ("2013-02", 7)}


def test_an_increment_without_news_brings_a_column_and_a_check_on_it(
    spark: SparkSession, tmp_path: Path
) -> None:
    chain = Chain(spark, tmp_path, contract_of("planes"), small_suite(NEW))
    register = Register(chain, tmp_path)
    register.enter("N1", "2013-01-01 05:00:00")
    assert register.land("r1") == ["N1"]
    assert register.publish("r1")["written"] == 1
    # The same values once more, seen at a later time.
    register.write("UPDATE planes SET updated_at = '2013-01-02 05:00:00'")
    assert register.land("r2") == ["N1"]
    columns = [*chain.contract.model_dump(mode="json")["columns"], {"name": "wings", "type": "int"}]
    more = {"columns": columns, "drift": {"removed": "evolve"}, "checks": {"two_wings": "wings = 2"}}
    chain.contract = contract_of("planes", **more)
    assert not register.publish("r2")["changed"]
    assert constraints(chain) == {"two_wings"}
    assert [row.wings for row in chain.rows().collect()] == [None]


@pytest.mark.parametrize(
    ("check", "why"),
    [
        ("distanec_mi > 0", r"cannot be read: \[UNRESOLVED_COLUMN.*`distanec_mi`.*"),
        ("distance_mi >", r"cannot be read: \[PARSE_SYNTAX_ERROR\].*"),
        ("distance_mi > 1 AS far", r"cannot be read: \[PARSE_SYNTAX_ERROR\].*"),
        ("distance_mi", "is double, not a condition"),
    ],
)
def test_a_check_that_cannot_be_read_fails_before_anything_is_staged(
    chain: Chain, check: str, why: str
) -> None:
    declare(chain, {"wrong": check})
    chain.land("r1", ["2013-01"])
    with pytest.raises(
        TransformError, match=rf"^dags/datasets/flights.yaml: the CHECK wrong \(.*\) {why}"
    ) as failure:
        chain.transform("r1", "etl")
    assert "\n" not in str(failure.value)
