"""A real supervisord over a tiny server: it restarts what dies and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from millstream.errors import ClusterError
from millstream.settings import Settings
from millstream_stack.credentials import load_or_create
from millstream_stack.environment import MARKER
from millstream_stack.services.declared import services
from millstream_stack.supervision import processes
from millstream_stack.supervision.health import http_answers
from millstream_stack.supervision.lifecycle import supervisor_of
from millstream_stack.supervision.ports import is_free
from millstream_stack.supervision.supervision import Program, Supervisor


def server(port: int) -> Program:
    command = (sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port))
    return Program("server", command, stop_seconds=5, start_seconds=0)


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    # Not tmp_path: a socket's path must be short.
    with tempfile.TemporaryDirectory(prefix="s") as home:
        yield {"PATH": os.environ["PATH"], MARKER: home}


@pytest.fixture
def supervisor(environment: dict[str, str]) -> Iterator[Supervisor]:
    home = Path(environment[MARKER])
    supervised = Supervisor(home, "a password")
    yield supervised
    supervised.stop()
    assert processes.strays(home) == []


def test_what_dies_is_started_again(
    supervisor: Supervisor, environment: dict[str, str], settings: Settings, wait_until: Callable[..., None]
) -> None:
    port = settings.sources_port
    supervisor.start([server(port)], environment)
    wait_until(lambda: http_answers(f"http://127.0.0.1:{port}/").healthy, "the server answers")
    [before] = supervisor.states()

    os.kill(before.pid, signal.SIGKILL)

    wait_until(
        lambda: supervisor.states()[0].pid not in (0, before.pid), "another process has taken its place"
    )
    wait_until(lambda: http_answers(f"http://127.0.0.1:{port}/").healthy, "the server answers again")


def test_stopping_frees_the_port_and_ends_every_process(
    supervisor: Supervisor, environment: dict[str, str], settings: Settings, wait_until: Callable[..., None]
) -> None:
    port = settings.sources_port
    supervisor.start([server(port)], environment)
    wait_until(lambda: not is_free("127.0.0.1", port), "the server listens")

    assert supervisor.stop(first=["server"])

    assert is_free("127.0.0.1", port)
    assert not supervisor.stop()
    assert supervisor.states() == []


def test_a_deep_checkout_gets_a_port_in_place_of_a_socket(
    tmp_path: Path, environment: dict[str, str], settings: Settings
) -> None:
    deep = tmp_path / ("deep" * 25)
    supervisor = Supervisor(deep, "a password")
    supervisor.start([server(settings.sources_port)], environment)
    try:
        assert [state.name for state in supervisor.states()] == ["server"]
        assert Supervisor(deep, "another password").states() == []
        assert "a password" not in supervisor.configuration.read_text()
    finally:
        assert supervisor.stop()


def test_a_program_without_autostart_waits_until_it_is_asked_for(
    supervisor: Supervisor, environment: dict[str, str], wait_until: Callable[..., None]
) -> None:
    sleeper = (sys.executable, "-c", "import time; time.sleep(600)")
    programs = [Program(name, sleeper, autostart=name == "first") for name in ("first", "second", "third")]
    supervisor.start(programs, environment)

    def running() -> list[str]:
        return [state.name for state in supervisor.states() if state.pid]

    wait_until(lambda: running() == ["first"], "only the first runs")
    supervisor.start_stopped({"third"})
    wait_until(lambda: running() == ["first", "third"], "the third was started too")
    supervisor.start_stopped()
    wait_until(lambda: running() == ["first", "second", "third"], "all run")


def test_what_supervisord_has_started_meanwhile_is_no_error(
    supervisor: Supervisor,
    environment: dict[str, str],
    wait_until: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sleeper = (sys.executable, "-c", "import time; time.sleep(600)")
    supervisor.start([Program("quick", sleeper)], environment)
    wait_until(lambda: supervisor.states()[0].state == "RUNNING", "it runs")
    [running] = supervisor.states()
    with monkeypatch.context() as patch:
        patch.setattr(supervisor, "states", lambda: [replace(running, state="EXITED")])
        supervisor.start_stopped()
    assert supervisor.states()[0].pid == running.pid


def test_a_command_that_does_not_exist_is_reported(
    supervisor: Supervisor, environment: dict[str, str], wait_until: Callable[..., None]
) -> None:
    supervisor.start([Program("broken", ("/nonexistent/program",))], environment)

    wait_until(lambda: supervisor.states()[0].state in ("BACKOFF", "FATAL"), "supervisord has noticed")
    assert "can't find command" in supervisor.states()[0].detail


def test_a_supervisord_that_cannot_start_is_an_error(
    supervisor: Supervisor, environment: dict[str, str]
) -> None:
    with pytest.raises(ClusterError, match="supervisord does not start"):
        supervisor.start([Program("bad name]", ("true",))], environment, timeout_s=0.5)


def test_a_percent_sign_in_a_path_is_kept(tmp_path: Path) -> None:
    text = Supervisor(tmp_path / "100%", "a password").render([Program("one", ("echo", "50%"))], port=1)

    assert "100%%" in text
    assert 'command = "echo" "50%%"' in text


def test_the_stacks_configuration_holds_no_secret(settings: Settings) -> None:
    credentials = load_or_create(settings)
    programs = [Program(service.name, service.command) for service in services(settings)]

    text = supervisor_of(settings, credentials).render(programs, port=1)

    assert "program:airflow-scheduler" in text
    for name, value in credentials.model_dump().items():
        assert name.endswith("_user") or value not in text


def test_what_is_stopped_first_still_reaches_the_others(
    supervisor: Supervisor,
    environment: dict[str, str],
    settings: Settings,
    wait_until: Callable[..., None],
    tmp_path: Path,
) -> None:
    port, ended = settings.sources_port, tmp_path / "ended"
    # Its end takes a second, in which a server told to stop at the same time would be gone.
    client = f"""
import pathlib, signal, socket, sys, time
def end(*_):
    time.sleep(1)
    answers = socket.socket().connect_ex(("127.0.0.1", {port})) == 0
    pathlib.Path({str(ended)!r}).write_text(str(answers))
    sys.exit()
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
signal.pause()
"""
    script = tmp_path / "client.py"
    script.write_text(client, encoding="utf-8")
    programs = [server(port), Program("client", (sys.executable, str(script)))]
    supervisor.start(programs, environment)
    log = supervisor.log_of("client")
    wait_until(lambda: log.exists() and "ready" in log.read_text(), "the client waits")
    wait_until(lambda: not is_free("127.0.0.1", port), "the server listens")

    assert supervisor.stop(first=["client"])

    assert ended.read_text() == "True"


def test_a_stop_that_was_broken_off_can_be_done_again(
    supervisor: Supervisor, environment: dict[str, str], wait_until: Callable[..., None]
) -> None:
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)",
        "print('deaf', flush=True); time.sleep(600)",
    )
    command, names = (sys.executable, "-c", "; ".join(stubborn)), ("first", "second")
    supervisor.start([Program(name, command, stop_seconds=3) for name in names], environment)
    logs = [supervisor.log_of(name) for name in names]
    wait_until(lambda: all(log.exists() and "deaf" in log.read_text() for log in logs), "both run")
    # What a person does with Ctrl-C while it waits.
    supervisor._call("stopProcess", "first", False)
    assert [state.state for state in supervisor.states() if state.name == "first"] == ["STOPPING"]

    assert supervisor.stop(first=["first"])
    assert supervisor.states() == []


def test_what_listens_on_the_supervisors_port_and_is_none_counts_as_not_running(tmp_path: Path) -> None:
    deep = tmp_path / "/".join(["a-deep-folder"] * 8)
    supervisor = Supervisor(deep, "a password")
    supervisor.folder.mkdir(parents=True)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        supervisor._port_file.write_text(str(listener.getsockname()[1]))
        with ThreadPoolExecutor(1) as pool:
            answered = pool.submit(answer_once, listener, b"220 mail.example\r\n")
            assert not supervisor.running()
            answered.result(timeout=10)


def answer_once(listener: socket.socket, words: bytes) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(4096)
        connection.sendall(words)


def test_a_process_that_lost_its_supervisor_is_found_and_ended(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import time; print('ready', flush=True); time.sleep(600)"]
    stray, other = (
        subprocess.Popen(command, env={MARKER: str(tmp_path / home)}, stdout=subprocess.PIPE)
        for home in ("mine", "another")
    )
    try:
        for process in (stray, other):
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"

        assert [found.pid for found in processes.strays(tmp_path / "mine")] == [stray.pid]
        assert processes.end(processes.strays(tmp_path / "mine")) == 1

        assert not psutil.pid_exists(stray.pid)
        assert psutil.pid_exists(other.pid)
    finally:
        for process in (stray, other):
            process.kill()
            process.wait(timeout=5)


def test_a_process_that_hides_its_environment_is_found_by_its_session(tmp_path: Path) -> None:
    """As Airflow's workers do, which write their title over it."""
    command = [sys.executable, "-c", "import time; print('ready', flush=True); time.sleep(600)"]
    leader = subprocess.Popen(command, env={}, cwd=tmp_path, stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert leader.stdout is not None
        assert leader.stdout.readline() == b"ready\n"

        assert [found.pid for found in processes.strays(tmp_path, session=leader.pid)] == [leader.pid]
        assert processes.strays(tmp_path / "another", session=leader.pid) == []
        (tmp_path / "link").symlink_to(tmp_path)
        assert [found.pid for found in processes.strays(tmp_path / "link", leader.pid)] == [leader.pid]
        assert processes.strays(tmp_path, session=None) == []
    finally:
        leader.kill()
        leader.wait(timeout=5)
