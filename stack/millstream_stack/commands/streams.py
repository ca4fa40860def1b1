"""`make streams-up` and `make demo-streams`: a day of flights through Kafka to silver, with live progress."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from datetime import date
from functools import partial
from uuid import uuid4

from rich.console import Console
from rich.table import Table

from millstream.contracts.contract import Contract
from millstream.contracts.sources import kafka
from millstream.engines import sessions
from millstream.errors import ClusterError, ConfigurationError, QualityGateError
from millstream.lake import history
from millstream.lake.tables import TableRef
from millstream.settings import Settings
from millstream.streams import desired, snapshot
from millstream.streams.access import without_login
from millstream.streams.topic import Topics
from millstream_stack.clients.airflow_api import AirflowApi
from millstream_stack.commands.screen import console, duration
from millstream_stack.commands.streams_compared import Comparing
from millstream_stack.credentials import load_or_create
from millstream_stack.environment import base_environment
from millstream_stack.services.kafka_connection import hand_on
from millstream_stack.supervision.lifecycle import Report, start_part, up

DATASET, TOPIC = "flight_events", "flights"
SILVER = TableRef(zone="silver", name=DATASET)
DAY = date(2013, 1, 15)
DAY_S = 120.0
POLL_S = 0.5
SHOW_S = 10.0
# From the last event to its commit.
CATCH_UP_S = 300.0
# Behind Airflow's login (millstream_airflow/pages.py).
PAGE = "/millstream/streams/"


def streams_up(settings: Settings) -> int:
    """With a Kafka of one's own, which the stream's connection names, the stream and its alerts alone."""
    screen = console()
    report = _plainly(screen)
    stacks_own = _start(settings, report)
    if _source(settings).alerts is not None:
        start_part(settings, report, "alerts")
    if stacks_own:
        start_part(settings, report, "events")
    screen.print(f"Live figures: {settings.airflow_url}{PAGE}", soft_wrap=True)
    return 0


def run_demo_streams(settings: Settings, day: date = DAY, seconds: float = DAY_S) -> int:
    """Exit status 0 only if silver has each event of the day once, every record is accounted for, and the
    views of delays and the flights of the day are the same on every side."""
    screen = console()
    began = time.monotonic()
    if not _start(settings, _plainly(screen)):
        raise ConfigurationError(
            f"the Airflow connection {_source(settings).connection} names a Kafka of your own, to which "
            "the demo sends nothing: delete it, run make down, then make demo-streams"
        )
    if desired.read(settings.lake_root, DATASET) == "park":
        raise QualityGateError(f"{DATASET} is parked: {desired.reason(settings.lake_root, DATASET)}")
    before = _position(settings)
    credentials = load_or_create(settings)
    with AirflowApi(settings.airflow_url, credentials.airflow_user, credentials.airflow_password) as airflow:
        comparing = Comparing(airflow, settings, day)
        comparing.begin()
        sent = _send(settings, day, seconds, lambda line: screen.print(f"  {line}"), comparing.half)
        reached, end = _caught_up(settings, lambda line: screen.print(f"  {line}"))
        complete = _summary(settings, day, sent, before, screen)
        verdict = "[green]Every event is in silver once" if complete else "[red]Events and silver differ"
        screen.print(f"{verdict}[/], the last {duration(reached)} after it was sent.")
        equal = comparing.end(screen, end)
    verdict = "[green]Every view and every flight is the same" if equal else "[red]They are not the same"
    screen.print(
        f"{verdict}[/]; in all {duration(time.monotonic() - began)}. The stack stays up: make down stops it."
    )
    screen.print(f"Live figures: {settings.airflow_url}{PAGE}", soft_wrap=True)
    return 0 if complete and equal else 1


def _plainly(screen: Console) -> Report:
    """A stream's reason may have brackets, which are no markup."""
    return partial(screen.print, markup=False)


def _start(settings: Settings, report: Report) -> bool:
    """The stack, Kafka with the demo's topic, then the stream, which needs that; whether it is the stack's
    own Kafka. A stream that has parked itself is started too, and stays parked."""
    up(settings, report)
    stacks_own = not hand_on(settings, _source(settings).connection)
    if stacks_own:
        start_part(settings, report, "broker")
        make_topic = [*_events(settings), "--make-topic"]
        made = subprocess.run(make_topic, env=base_environment(settings), check=False)
        if made.returncode:
            raise ClusterError("the demo's topic could not be made (see above)")
    # Somebody may have had it drained.
    if desired.read(settings.lake_root, DATASET) != "park":
        desired.write(settings.lake_root, DATASET, "run")
    start_part(settings, report, "streams")
    return stacks_own


def _source(settings: Settings) -> kafka.Source:
    contract = Contract.load_file(settings.project / "dags" / "streams" / f"{DATASET}.yaml")
    assert isinstance(contract.source, kafka.Source)
    return contract.source


def _events(settings: Settings) -> list[str]:
    python = str(settings.root / ".venv" / "bin" / "python")
    return [python, "-m", "millstream_demo", "events", "--servers", settings.kafka_servers]


def _send(
    settings: Settings, day: date, seconds: float, show: Callable[[str], None], half: Callable[[], None]
) -> int:
    """Have the demo send the day's events; how many the broker has acknowledged. `half` is called from the
    half of them on."""
    sent = 0
    with subprocess.Popen(
        [*_events(settings), "--day", str(day), "--seconds", str(seconds)],
        env=base_environment(settings),
        stdout=subprocess.PIPE,
        text=True,
    ) as sending:
        try:
            for line in sending.stdout or ():
                progress = json.loads(line)
                sent = progress["sent"]
                if sent >= progress["of"] / 2:
                    half()
                show(f"{day}: {sent} of {progress['of']} events sent; silver: {_silver(settings)}")
        except BaseException:
            # Nobody would see it go on.
            sending.terminate()
            raise
    if sending.returncode:
        raise ClusterError("the demo could not send its events (see above); `make status` shows what is down")
    return sent


def _silver(settings: Settings) -> str:
    found = snapshot.read(settings.lake_root, DATASET)
    if found is None or not found.position:
        # It plans and compiles, which takes a while on a busy machine.
        return "the first micro-batch is under way"
    return f"position {found.position}, {found.lag} behind"


def _caught_up(settings: Settings, show: Callable[[str], None]) -> tuple[float, int]:
    """Seconds until silver has all that the topic has now, and the position of that."""
    began = shown = time.monotonic()
    end = sum(Topics(without_login(settings.kafka_servers)).look(TOPIC).end.values())
    while True:
        found = snapshot.read(settings.lake_root, DATASET)
        if found and found.position >= end:
            return time.monotonic() - began, end
        if time.monotonic() - began > CATCH_UP_S:
            state = (
                f"{found.state}: {found.reason or f'at {found.position} of {end}'}" if found else "not begun"
            )
            raise ClusterError(f"silver has not caught up in {duration(CATCH_UP_S)}: the stream is {state}")
        if time.monotonic() - shown > SHOW_S:
            show(f"waiting for silver to have all: {_silver(settings)}")
            shown = time.monotonic()
        time.sleep(POLL_S)


def _position(settings: Settings) -> int:
    accounts = history.read(SILVER, settings.lake_root).standing
    return accounts[0].offsets.position if accounts and accounts[0].offsets else 0


def _summary(settings: Settings, day: date, sent: int, before: int, screen: Console) -> bool:
    """Print the accounts since the position `before`; whether they and the rows are as they must be."""
    accounts = [
        account
        for account in history.read(SILVER, settings.lake_root).standing
        if account.offsets and account.offsets.position > before
    ]
    sums = {
        name: sum(getattr(account, name) for account in accounts)
        for name in ("read", "written", "quarantined", "deduplicated")
    }
    rows, distinct = _rows_of(settings, day)
    table = Table(title=f"{SILVER}, {day}", title_justify="left")
    for heading in ("sent", "commits", *sums, "rows of the day", "distinct ids"):
        table.add_column(heading, justify="right")
    table.add_row(*map(str, (sent, len(accounts), *sums.values(), rows, distinct)))
    screen.print(table)
    accounted = sums["read"] == sums["written"] + sums["quarantined"] + sums["deduplicated"]
    return accounted and sums["read"] >= sent and rows == distinct == sent


def _rows_of(settings: Settings, day: date) -> tuple[int, int]:
    """Rows of the day's flights in silver, and how many different events they are."""
    with sessions.connect(settings.connect_url, f"demo-streams {uuid4()}", [], "demo-streams") as spark:
        events = spark.read.format("delta").load(SILVER.uri(settings.lake_root))
        ids = events.where(events["flight_date"] == str(day)).select("event_id")
        return ids.count(), ids.distinct().count()
