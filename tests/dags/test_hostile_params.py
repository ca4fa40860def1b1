"""What a person may type into the trigger form, checked by Airflow's own validation of the real DAGs."""

from __future__ import annotations

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowException, ParamValidationError

from millstream.settings import CHECKOUT

HOSTILE = (
    "../../etc/passwd",
    "2013-01' OR '1'='1",
    "2013-01; DROP TABLE silver.flights",
    "{{ conn.mlflow_default.password }}",
    "\u0662\u0660\u0661\u0663-\u0660\u0661",
    "2013-13",
    ["2013-01"],
    {"$ref": "file:///etc/passwd"},
    0,
)


@pytest.fixture(scope="module")
def dags() -> list[DAG]:
    bag = DagBag(str(CHECKOUT / "dags"))
    assert bag.import_errors == {}
    return list(bag.dags.values())


@pytest.mark.parametrize("value", HOSTILE, ids=repr)
def test_no_param_takes_a_hostile_value(dags: list[DAG], value: object) -> None:
    tried = 0
    for dag in dags:
        for name in dag.params:
            with pytest.raises((ParamValidationError, AirflowException)):
                dag.params.get_param(name).resolve(value)
            tried += 1
    assert tried >= len(dags)
