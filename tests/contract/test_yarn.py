"""What is asked of a real YARN, and how what goes wrong there is said: without Spark, by plain commands."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import httpx
import pytest

from millstream.engines.yarn import ResourceManager, UnknownApplicationError, adopted
from millstream.errors import ClusterError, ConfigurationError
from tests.support.hadoop import Hdfs, Yarn
from tests.support.waiting import until

MEMORY_MB = 1024
USER = "root"
SLEEP = "exec sleep 600"
Submit = Callable[..., str]


@pytest.fixture(scope="module")
def yarn(hdfs: Hdfs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yarn]:
    server = Yarn(tmp_path_factory.mktemp("yarn"), hdfs, memory_mb=MEMORY_MB)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def manager(yarn: Yarn) -> ResourceManager:
    return ResourceManager(yarn.web, USER)


@pytest.fixture
def submit(yarn: Yarn, manager: ResourceManager) -> Iterator[Submit]:
    """Starts a shell command as the first container of an application; what still runs is ended.

    YARN puts the command between double quotes of a shell.
    """
    started: list[str] = []

    def submitted(command: str, memory_mb: int = 128, tag: str = "") -> str:
        url, user = f"{yarn.web}/ws/v1/cluster/apps", {"user.name": USER}
        new = httpx.post(f"{url}/new-application", params=user, timeout=30).json()["application-id"]
        logged = f"({command}) 1><LOG_DIR>/stdout 2><LOG_DIR>/stderr"
        asked = {
            "application-id": new,
            "application-name": "test",
            "application-type": "TEST",
            "am-container-spec": {"commands": {"command": logged}},
            "resource": {"memory": memory_mb, "vCores": 1},
            "max-app-attempts": 1,
            "application-tags": {"tag": [tag]} if tag else None,
        }
        given = {name: value for name, value in asked.items() if value is not None}
        httpx.post(url, params=user, json=given, timeout=30).raise_for_status()
        started.append(new)
        return str(new)

    yield submitted
    for application in started:
        with suppress(UnknownApplicationError):
            manager.kill(application)


def launched(manager: ResourceManager, application: str) -> bool:
    return "AM container is launched" in manager.application(application).diagnostics


def test_a_failed_job_is_told_with_yarns_reason_and_its_last_lines(
    manager: ResourceManager, submit: Submit
) -> None:
    application = submit("echo first; seq 60 >&2; exit 3")
    ended = manager.follow(application)
    error = manager.failure(ended, "transform")
    assert (ended.state, ended.alive, ended.succeeded) == ("FAILED", False, False)
    assert isinstance(error, ClusterError)
    assert str(error).startswith(f"transform ({application}) ended as FAILED without an outcome: ")
    assert "Container exited with a non-zero exit code 3" in str(error)
    told = str(error).partition("Its last lines:\n")[2].splitlines()
    assert told == [*map(str, range(31, 61)), "first"]


def test_a_container_over_its_memory_needs_a_person(manager: ResourceManager, submit: Submit) -> None:
    began = time.monotonic()
    grow = "import time; kept = bytes([1]) * (400 << 20); time.sleep(600)"
    application = submit(f"exec {sys.executable} -c '{grow}'")
    error = manager.failure(manager.follow(application), "transform")
    assert isinstance(error, ConfigurationError)
    assert "used more memory than its container has: raise memory or memoryOverhead in conf/spark" in str(
        error
    )
    assert "of 128 MB physical memory used" in str(error)
    assert time.monotonic() - began < 60


def test_a_job_that_waits_for_its_queue_says_so_within_half_a_minute(
    manager: ResourceManager, submit: Submit, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="millstream.engines.yarn")
    first = submit(SLEEP, memory_mb=768)
    until(lambda: launched(manager, first), 60, "the first job")
    began = time.monotonic()
    second = submit(SLEEP, memory_mb=768)
    with ThreadPoolExecutor(1) as threads:
        followed = threads.submit(manager.follow, second)
        until(lambda: bool(caplog.messages), 30, "a word of the queue")
        assert time.monotonic() - began < 30
        manager.kill(second)
        ended = followed.result(60)
    (told,) = caplog.messages
    assert told.startswith(f"{second} waits in queue root.default: 256 MB and 7 cores are free on 1 nodes")
    assert "What to do: wait, end what holds the queue, or give it more" in told
    assert ended.state == "KILLED"
    assert f"transform ({second}) was killed without an outcome" in str(manager.failure(ended, "transform"))


def test_of_what_an_earlier_try_left_the_same_is_followed_and_the_rest_ended(
    manager: ResourceManager, submit: Submit
) -> None:
    other, same, foreign = (submit(SLEEP, tag=tag) for tag in ("task-1", "task-1", "task-2"))
    alive = manager.tagged("task-1")
    assert [application.id for application in alive] == [other, same]
    assert alive[0].tags == {"task-1"}

    kept = adopted(alive, lambda application: application.id == same, manager)

    assert kept is not None
    assert kept.id == same
    assert [application.id for application in manager.tagged("task-1")] == [same]
    assert manager.application(foreign).alive
    assert adopted([], lambda _: True, manager) is None


def test_a_resourcemanager_that_does_not_answer() -> None:
    began = time.monotonic()
    with pytest.raises(ClusterError, match=r"at http://127.0.0.1:1/ws/v1/cluster does not answer: .*look wh"):
        ResourceManager("http://127.0.0.1:1", USER).require_up()
    assert time.monotonic() - began < 30


@pytest.mark.thorough
def test_one_that_goes_and_comes_back_without_its_state(
    yarn: Yarn, manager: ResourceManager, submit: Submit
) -> None:
    application = submit(SLEEP)
    until(lambda: launched(manager, application), 60, "the job")
    yarn.kill("resourcemanager")
    try:
        with pytest.raises(ClusterError, match="does not answer"):
            manager.follow(application, away_s=2)
    finally:
        yarn.start_resourcemanager()
    with pytest.raises(
        UnknownApplicationError, match=f"does not know apps/{application}: it has forgotten it"
    ):
        manager.follow(application)
