"""Contracts: right ones load, wrong ones say file, field and what was expected."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from millstream.contracts.contract import Contract
from millstream.contracts.documents import read_json
from millstream.errors import ContractError
from millstream.settings import CHECKOUT

GOOD: dict[str, Any] = {
    "dataset": "orders",
    "version": 1,
    "description": "Orders as the shop's database has them.",
    "owner": "shop-team",
    "source": {"kind": "sql", "connection": "shop", "table": "orders", "key": "id"},
    "load": "full",
    "start_date": "2024-01-01",
    "columns": [{"name": "id", "type": "bigint", "description": "Order number", "nullable": False}],
    "primary_key": ["id"],
}


def changed(**fields: Any) -> dict[str, Any]:
    return {**deepcopy(GOOD), **fields}


def written(folder: Path, data: Any, name: str = "orders") -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(data if isinstance(data, str) else yaml.safe_dump(data))
    return path


def test_a_right_contract_loads_with_defaults(tmp_path: Path) -> None:
    contract = Contract.load_file(written(tmp_path, GOOD))
    assert contract.mode == "elt"
    assert contract.column_names == ["id"]
    assert contract.source.format == "parquet"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"dataset": "Orders!"}, ["orders.yaml", "dataset", "should match pattern", "Orders!"]),
        ({"owner": None}, ["orders.yaml", "owner", "valid string"]),
        ({"colour": "red"}, ["orders.yaml", "colour", "Extra inputs are not permitted"]),
        ({"primary_key": ["number"]}, ["orders.yaml", "primary_key: not among the columns: number"]),
        ({"load": "partition"}, ["orders.yaml", "'partition' and the section partition go together"]),
        ({"load": "watermark"}, ["orders.yaml", "needs source.watermark (sql) or source.since_param (http)"]),
        (
            {
                "load": "watermark",
                "source": {"kind": "http", "connection": "api", "endpoint": "/o", "since_param": "since"},
            },
            ["orders.yaml", "'watermark' over http needs event_time"],
        ),
        (
            {"source": {"kind": "sql", "connection": "shop", "table": "o; DROP TABLE x", "key": "id"}},
            ["orders.yaml", "source.table", "should match pattern"],
        ),
        (
            {"source": {"kind": "files", "connection": "drop", "format": "csv", "path": "../../etc/passwd"}},
            ["orders.yaml", "source", "path must be relative to the connection's folder"],
        ),
        (
            {"source": {"kind": "http", "connection": "api", "endpoint": "/o", "since_param": "offset"}},
            ["orders.yaml", "since_param, size_param, page_param: each is a parameter of its own"],
        ),
        (
            {"load": "partition", "partition": {"start": "2024-01"}},
            ["orders.yaml", "event_time: a database is read by month of this column"],
        ),
        (
            {"source": {"kind": "files", "connection": "drop", "format": "csv", "path": "orders/"}},
            ["orders.yaml", "path names a folder: write `*` behind it for all files there"],
        ),
        (
            {"source": {"kind": "ftp", "connection": "drop"}},
            ["orders.yaml", "kind: expected one of files, http, kafka, sql, found 'ftp'"],
        ),
        (
            {"columns": [{"name": "id", "type": "number", "description": "Order number"}]},
            ["orders.yaml", "columns.0.type", "string, smallint, int", "'number'"],
        ),
    ],
)
def test_a_wrong_contract_names_file_field_and_expectation(
    tmp_path: Path, fields: dict[str, Any], expected: list[str]
) -> None:
    with pytest.raises(ContractError) as failure:
        Contract.load_file(written(tmp_path, changed(**fields)))
    for part in expected:
        assert part in str(failure.value)


def test_every_problem_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(ContractError) as failure:
        Contract.load_file(written(tmp_path, changed(version=0, load="sometimes")))
    assert "version" in str(failure.value)
    assert "load" in str(failure.value)


def test_a_file_is_named_after_its_dataset(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="expected 'sales', the file's name, found 'orders'"):
        Contract.load_file(written(tmp_path, GOOD, name="sales"))


def test_what_is_not_yaml_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"orders\.yaml: is not YAML"):
        Contract.load_file(written(tmp_path, "dataset: [unclosed"))


def shipped(dataset: str) -> str:
    return (CHECKOUT / "dags" / "datasets" / f"{dataset}.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (
            "drift: {added: freeze}\ndrift: {widened: freeze}\n",
            "key 'drift' occurs twice, in line {end} first",
        ),
        (
            "drift: {added: freeze, removed: freeze, added: evolve}\n",
            "key 'added' occurs twice, in line {end}",
        ),
        ('drift: {added: freeze, "added": evolve}\n', "key 'added' occurs twice, in line {end} first"),
        ("mode: etl\nmode: elt\n", "line {last}: key 'mode' occurs twice, in line {end} first"),
    ],
)
def test_a_key_that_stands_twice_is_refused_with_its_lines(tmp_path: Path, more: str, expected: str) -> None:
    text = shipped("airports")
    end = text.count("\n") + 1
    with pytest.raises(ContractError, match=r"airports\.yaml: ") as refused:
        Contract.load_file(written(tmp_path, text + more, "airports"))
    assert expected.format(end=end, last=end + 1) in str(refused.value)


def test_a_key_may_override_what_is_merged_into_its_mapping(tmp_path: Path) -> None:
    text = shipped("airports").replace(
        "columns:\n  - {name: faa,",
        "columns:\n  - &text {name: faa,",
    )
    text += "  - {<<: *text, name: icao, description: Another code}\n"
    assert Contract.load_file(written(tmp_path, text, "airports")).columns[-1].name == "icao"


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("utf-16", "is text in UTF-16: save it as text in UTF-8"),
        ("utf-16-le", "is text in UTF-16: save it as text in UTF-8"),
        ("cp1252", "line 1: byte 0xfc is not UTF-8: save the file as UTF-8"),
    ],
)
def test_a_contract_in_another_encoding_is_refused_by_name(
    tmp_path: Path, encoding: str, expected: str
) -> None:
    text = shipped("airports").replace("description: Codes", "description: Kürzel", 1)
    path = tmp_path / "airports.yaml"
    path.write_bytes(text.encode("utf-8-sig"))
    assert Contract.load_file(path).description.startswith("Kürzel")
    path.write_bytes(text.encode(encoding))
    with pytest.raises(ContractError) as refused:
        Contract.load_file(path)
    assert str(refused.value) == f"airports.yaml: {expected}"


def test_a_date_that_is_none_is_said_so(tmp_path: Path) -> None:
    text = shipped("airports").replace("end_date: 2013-12-31", "end_date: 2013-02-30")
    with pytest.raises(ContractError, match=r"airports\.yaml: .*day is out of range for month"):
        Contract.load_file(written(tmp_path, text, "airports"))


@pytest.mark.parametrize(
    ("written_as", "expected"),
    [
        ("!!bool maybe", "'maybe' is no bool"),
        ("!!bool {=: maybe}", "this is no bool"),
        ("!!timestamp soon", "'soon' is no timestamp"),
        ('!!int ""', "'' is no int"),
        ('!!float ""', "'' is no float"),
        ("!!float fast", "'fast' is no float: could not convert string to float: 'fast'"),
        ("2013-02-30", "'2013-02-30' is no timestamp: day is out of range for month"),
        (r'"\Uffffffff"', "cannot be read: Python int too large to convert to C int"),
        (r'"\U00110000"', "cannot be read: chr() arg not in range(0x110000)"),
    ],
)
def test_a_value_that_is_none_of_its_type_is_refused_with_its_line(
    tmp_path: Path, written_as: str, expected: str
) -> None:
    text = shipped("airports")
    line = text.count("\n") + 1
    with pytest.raises(ContractError) as refused:
        Contract.load_file(written(tmp_path, f"{text}allow_empty: {written_as}\n", "airports"))
    assert str(refused.value) == f"airports.yaml: line {line}: {expected}"


def test_a_key_that_is_none_of_its_type_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"^orders\.yaml: line 2: 'maybe' is no bool$"):
        Contract.load_file(written(tmp_path, "a: 1\n!!bool maybe: 2\n"))


@pytest.mark.parametrize("minutes", [1440, 10**15])
def test_a_run_that_may_take_a_day_is_refused(tmp_path: Path, minutes: int) -> None:
    Contract.load_file(written(tmp_path, changed(deadline_minutes=1439)))
    with pytest.raises(ContractError, match=r"deadline_minutes: .*less than 1440"):
        Contract.load_file(written(tmp_path, changed(deadline_minutes=minutes)))


def test_a_key_that_stands_twice_is_refused_however_deep(tmp_path: Path) -> None:
    text = (CHECKOUT / "expectations" / "airports.json").read_text(encoding="utf-8")
    path = tmp_path / "airports.json"
    deep = '{"a": ' * 600 + '{"b": 1, "b": 2}' + "}" * 600
    path.write_text(text.rstrip().removesuffix("}") + f', "meta": {deep}}}')
    with pytest.raises(ContractError) as refused:
        read_json(path)
    assert str(refused.value) == "airports.json: key 'b' occurs twice in one object"


def test_a_key_that_stands_twice_is_refused_beside_a_number_that_is_too_long(tmp_path: Path) -> None:
    path = tmp_path / "airports.json"
    path.write_text('[{"b": 1, "b": 2}, ' + "1" * 5000 + "]")
    with pytest.raises(ContractError, match=r"^airports\.json: key 'b' occurs twice in one object$"):
        read_json(path)


def test_a_suites_key_that_stands_twice_is_refused_with_its_lines(tmp_path: Path) -> None:
    text = (CHECKOUT / "expectations" / "airports.json").read_text(encoding="utf-8")
    path = tmp_path / "airports.json"
    path.write_bytes(text.encode("utf-8-sig"))
    assert read_json(path) == json.loads(text)
    doubled = text.replace('"name":', '"name": "x",\n  "name":', 1)
    line = text[: text.index('"name":')].count("\n") + 1
    path.write_text(doubled)
    with pytest.raises(ContractError) as refused:
        read_json(path)
    assert str(refused.value) == (
        f"airports.json: line {line + 1}: key 'name' occurs twice, in line {line} first"
    )
    path.write_text(doubled.replace("\n  ", "\n\t"))
    with pytest.raises(ContractError, match=f"line {line + 1}: key 'name' occurs twice, in line {line}"):
        read_json(path)
