"""A broker that asks for TLS and a login by SCRAM: a day to silver, and nothing has the password."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from millstream.errors import ConfigurationError
from millstream.lake.storage import local_uri
from millstream.streams import access, snapshot
from millstream.streams.topic import Topics
from tests.streams.test_bad_records import STOPPED, broken
from tests.support.canaries import ArgumentWatch, files, found
from tests.support.secured_broker import SecuredBroker, authority_of, secured
from tests.support.streaming import DATASET, StreamProcess, day_messages, event_ids, properties, rows
from tests.support.waiting import until

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(900)]

TOPIC, DEAD_LETTER, CHANGED = "secured", "secured-dead-letter", "secured-changed"
CONNECTION = "kafka"
READ_S = 240.0
NOTICED_S = 120.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    with secured(tmp_path_factory.mktemp("secured")) as broker:
        yield broker


@pytest.fixture
def password(server: SecuredBroker) -> str:
    # With what a JAAS file and a properties file treat in their own way.
    password = f'{secrets.token_urlsafe(24)}"\\${{x}}'
    server.set_login("reader", password)
    return password


def test_a_day_through_a_login_leaves_the_password_nowhere(
    server: SecuredBroker, password: str, tmp_path: Path
) -> None:
    root, day = local_uri(tmp_path / "lake"), day_messages()
    variants = [message for message, _ in broken(day[100])]
    for topic in (TOPIC, DEAD_LETTER):
        server.create(topic)
    server.send(TOPIC, [*variants, *day])
    access.write(access.folder_of(tmp_path, CONNECTION), server.login("reader", password))
    conf = properties(tmp_path)
    (tmp_path / "events").mkdir()
    with conf.open("a") as lines:
        lines.write(f"spark.eventLog.enabled true\nspark.eventLog.dir {local_uri(tmp_path / 'events')}\n")

    with ArgumentWatch() as arguments:
        process = StreamProcess(
            *(server, root, tmp_path, "--home", str(tmp_path)),
            topic=TOPIC,
            dead_letter=DEAD_LETTER,
            conf=conf,
            # Nothing is there: the connection wins.
            servers="127.0.0.1:1",
        )
        try:
            end = len(variants) + len(day)
            until(lambda: _seen(root).position == end, READ_S, f"the day: {process.log}")
            python = psutil.Process(process.process.pid)
            javas = [one for one in python.children(recursive=True) if one.name() == "java"]
            assert javas
            processes = [python, *javas]
            environments = [("environment", str(one.environ()).encode()) for one in processes]
            for one in processes:
                arguments.wait_for(one.pid)
            assert process.drain() == 0, process.log.read_text()[-4000:]
        finally:
            process.end()

    assert sorted(row["event_id"] for row in rows("silver.flight_events", root)) == sorted(event_ids(day))
    assert len(server.received(DEAD_LETTER)) == len(variants)
    # What comes before the first character that JSON and JAAS have otherwise.
    part = password.partition('"')[0]
    texts = [*files(tmp_path, without=tmp_path / "secrets"), *arguments.texts(), *environments]
    assert found(texts, {"password": part}) == set()
    # The search sees the packed event logs: plans are there, with their options.
    logged = {where for _, where in found(texts, {"option": "kafka.sasl.jaas.config"})}
    assert any(where.startswith(str(tmp_path / "events")) for where in logged), logged
    assert len(found(files(tmp_path / "secrets"), {"password": part})) == 2
    for topic in (TOPIC, DEAD_LETTER):
        server.delete(topic)


def test_a_login_that_is_changed_stops_the_stream_a_restart_of_the_broker_does_not(
    server: SecuredBroker, password: str, tmp_path: Path
) -> None:
    root, sent = local_uri(tmp_path / "lake"), day_messages()[:60]
    server.create(CHANGED)
    server.send(CHANGED, sent[:30])
    access.write(access.folder_of(tmp_path, CONNECTION), server.login("reader", password))
    process = StreamProcess(server, root, tmp_path, "--home", str(tmp_path), topic=CHANGED)
    try:
        until(lambda: _seen(root).position == 30, READ_S, f"the first half: {process.log}")
        server.kill()
        until(lambda: _seen(root).state == "waiting", NOTICED_S, f"waiting: {process.log}")
        server.start()
        server.send(CHANGED, sent[30:])
        until(lambda: _seen(root).position == 60, READ_S, f"the second half: {process.log}")
        server.set_login("reader", "another one")
        server.kill()
        server.start()
        assert process.wait() == STOPPED, process.log.read_text()[-4000:]
    finally:
        process.end()
    seen = _seen(root)
    assert (seen.state, "refuses the login" in seen.reason) == ("stopped", True), seen.reason
    assert "correct sasl.username, sasl.password" in seen.reason
    assert "ConfigurationError" in process.log.read_text()
    server.delete(CHANGED)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("sasl.password", "refuses the login: .*invalid credentials.*What to do: correct sasl.username"),
        ("ssl.ca.location", "no certificate that is trusted: .*What to do: let ssl.ca.location name"),
    ],
)
def test_a_wrong_login_and_another_authority_say_what_to_correct(
    server: SecuredBroker, password: str, tmp_path: Path, setting: str, said: str
) -> None:
    other = tmp_path / "other.pem"
    other.write_bytes(authority_of("other")[1].public_bytes(Encoding.PEM))
    given = {**server.login("reader", password), setting: str(other)}
    access.write(access.folder_of(tmp_path, CONNECTION), given)

    with pytest.raises(ConfigurationError, match=said) as refused:
        Topics(access.of(tmp_path, CONNECTION, "")).look(TOPIC)
    assert password not in str(refused.value)


def _seen(root: str) -> snapshot.Snapshot:
    return snapshot.read(root, DATASET) or snapshot.Snapshot.model_construct(state="starting", position=0)
