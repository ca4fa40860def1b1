"""docs/thirty-lines.md, followed word for word in a home of its own, but for what starts the stack."""

from __future__ import annotations

import json
import os
import random
import subprocess
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import sqlalchemy as sa

from millstream.settings import CHECKOUT
from tests.support.documents import files_shown, shell_blocks
from tests.support.packages import packages

PAGE = CHECKOUT / "docs" / "thirty-lines.md"
HOME_ON_THE_PAGE = "/your/home"
URL_ON_THE_PAGE = "postgresql://reader:secret@127.0.0.1:5432/shop"
ORDERS = 5000
FIRST_DAY = date(1992, 1, 1)


def by_hand() -> list[str]:
    """Every line of the page that a person writes."""
    lines = [line for block in shell_blocks(PAGE) for line in block.splitlines()]
    lines += [line for text in files_shown(PAGE).values() for line in text.splitlines()]
    return [line for line in lines if line.strip()]


def orders() -> list[tuple[int, int, str, Decimal, date, str, str, int, str]]:
    """Orders of the form of TPC-H's."""
    chance = random.Random(7)
    words = [
        "furiously",
        "express",
        "packages",
        "sleep",
        "carefully",
        "above",
        "the",
        "pending,",
        "final",
        "deposits",
    ]
    return [
        (
            number,
            chance.randrange(1, 500),
            chance.choice("OFP"),
            Decimal(chance.randrange(90_000, 50_000_000)).scaleb(-2),
            FIRST_DAY + timedelta(days=chance.randrange(2400)),
            chance.choice(["1-URGENT", "2-HIGH", "5-LOW"]),
            f"Clerk#{chance.randrange(100):09}",
            0,
            " ".join(chance.choices(words, k=5)),
        )
        for number in range(1, ORDERS + 1)
    ]


def write_files(folder: Path) -> None:
    """The two files in `folder`."""
    folder.mkdir(parents=True)
    rows = ["".join(f"{value}|" for value in order) for order in orders()]
    (folder / "orders.tbl").write_text("\n".join([*rows, ""]), encoding="utf-8")
    names = ("Package", "Section", "Installed-Size", "Description")
    found = [{name: one.get(name) for name in names} for one in packages()]
    (folder / "packages.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in found), encoding="utf-8")


def fill(engine: sa.Engine) -> None:
    """The same orders as a table of a database."""
    table = sa.Table(
        "orders",
        sa.MetaData(),
        sa.Column("orderkey", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("customer", sa.Integer),
        sa.Column("status", sa.String(1)),
        sa.Column("total", sa.Numeric(15, 2)),
        sa.Column("day", sa.Date),
        sa.Column("priority", sa.String(15)),
        sa.Column("clerk", sa.String(15)),
        sa.Column("ship", sa.Integer),
        sa.Column("comment", sa.String(79)),
    )
    table.create(engine)
    names = [column.name for column in table.columns]
    with engine.begin() as connection:
        connection.execute(table.insert(), [dict(zip(names, row, strict=True)) for row in orders()])


class Follower:
    """Somebody who does what the page says, with `home` as a home and the database at `url`."""

    def __init__(self, home: Path, url: str) -> None:
        self.home = home
        self.project = home / "shop"
        self.data = home / "data"
        self._url = url
        self._exported: dict[str, str] = {}

    def follow(self) -> None:
        """All but what needs a running stack."""
        write_files(self.data)
        for block in shell_blocks(PAGE):
            for line in block.splitlines():
                if "new MART" in line:
                    self._save_the_mart()
                self._do(line)

    def written(self) -> list[str]:
        """The lines of what the commands have written for datasets, model and mart, but for empty ones."""
        shown = {self.home / path.removeprefix("~/") for path in files_shown(PAGE)}
        own = ("packages", "orders", "library")
        files = [
            path
            for path in self.project.rglob("*")
            if path.suffix in (".yaml", ".py", ".json")
            and path not in shown
            and any(name in path.name for name in own)
        ]
        return [line for path in files for line in path.read_text().splitlines() if line.strip()]

    def _save_the_mart(self) -> None:
        for path, text in files_shown(PAGE).items():
            target = self.home / path.removeprefix("~/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")

    def _do(self, line: str) -> None:
        line = line.replace(HOME_ON_THE_PAGE, str(self.home)).replace(URL_ON_THE_PAGE, self._url)
        if line.startswith("export "):
            name, _, value = line.removeprefix("export ").partition("=")
            self._exported[name] = value.strip("'")
        elif line.startswith(("make new", "stack/run pytest")):
            self._run(line)

    def _run(self, command: str) -> None:
        # The page puts the project into `.env`, which is the checkout's own.
        project = {} if "new-project" in command else {"MILLSTREAM_PROJECT": str(self.project)}
        done = subprocess.run(
            ["bash", "-c", command],
            capture_output=True,
            text=True,
            env={**os.environ, "HOME": str(self.home), **self._exported, **project},
            cwd=CHECKOUT,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
