"""What `make new` guesses of values as people write them: each guess reads every value that was seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from millstream.contracts.contract import Contract
from millstream_stack.commands.new.columns import guess
from millstream_stack.commands.new.contracts import contract_text
from millstream_stack.commands.new.looks import at_file


@pytest.mark.parametrize(
    ("values", "kind", "written"),
    [
        (["ja", "nein", "Ja"], "boolean", {"true_values": ["Ja", "ja"], "false_values": ["nein"]}),
        (["On", "Off"], "boolean", {"true_values": ["On"], "false_values": ["Off"]}),
        (["oui", "non", None], "boolean", {"true_values": ["oui"], "false_values": ["non"]}),
        (["ja"], "string", {}),
        (["ja", "nein", "vielleicht"], "string", {}),
        (["yes", "no"], "boolean", {}),
        (["08:15", "23:59:59", "07:00:00.25"], "time", {}),
        (["08:15", "24:00"], "string", {}),
        (["8:15"], "string", {}),
    ],
)
def test_words_for_yes_and_no_and_times_of_day(values: list[Any], kind: str, written: dict[str, Any]) -> None:
    found = guess("A", "a", values)
    assert (found.kind, dict(found.written)) == (kind, written)


def proposed(folder: Path, text: str, name: str = "a.csv") -> tuple[Contract, str]:
    (folder / name).write_text(text)
    written = contract_text("a", at_file(folder / name, {"drop": folder}, "drop"))
    return Contract.from_dict(yaml.safe_load(written), origin="a.yaml", stem="a"), written


@pytest.mark.parametrize(
    ("text", "skipped", "columns"),
    [
        ("Orders of May, all shops\n\nid;total;day\n1;2,50;2024-05-01\n2;3,50;2024-05-02\n", 2, 3),
        ("id;total;tax\n1;2,50;0,10\n2;3,50;0,20\n3;4,50;0,30\n", 0, 3),
        ("id,a,b\n1,2,3\n4,5,6\n", 0, 3),
    ],
)
def test_lines_above_the_names_are_skipped(tmp_path: Path, text: str, skipped: int, columns: int) -> None:
    contract, written = proposed(tmp_path, text)
    assert contract.source.model_dump().get("skip_lines", 0) == skipped
    assert ("# skipped above the names: Orders of May, all shops" in written) == bool(skipped)
    assert len(contract.columns) == columns


def test_words_of_ones_own_stand_in_the_contract(tmp_path: Path) -> None:
    contract, written = proposed(tmp_path, "id,paid\n1,ja\n2,nein\n")
    assert "{name: paid, type: boolean, true_values: [ja], false_values: [nein]}" in written
    assert contract.columns[1].true_values == ("ja",)
