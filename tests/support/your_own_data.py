"""docs/your-own-data.md, followed word for word in a home of its own, but for what starts the stack."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from millstream.settings import CHECKOUT
from tests.support.documents import files_shown

PAGE = CHECKOUT / "docs" / "your-own-data.md"
HOME_ON_THE_PAGE = "/your/home"


def commands() -> list[list[str]]:
    """The lines of each block of shell."""
    blocks = re.findall(r"^```bash\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return [block.splitlines() for block in blocks]


def proposed() -> str:
    """The contract that the page says is proposed."""
    block = re.search(r"is:\n\n```yaml\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert block is not None
    return block[1]


class Reader:
    """Somebody who does what the page says, with `home` as a home."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.project = home / "packages"

    def save(self, path: str) -> None:
        """The file that the page shows under `path`."""
        target = self.home / path.removeprefix("~/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(files_shown(PAGE)[path], encoding="utf-8")

    def run(self, command: str, project: bool = True) -> str:
        """What a line of shell prints, in the checkout. The page puts the project into `.env`, which is the
        checkout's own."""
        more = {"MILLSTREAM_PROJECT": str(self.project)} if project else {}
        environment = {**os.environ, "HOME": str(self.home), **more}
        done = subprocess.run(
            ["bash", "-c", command],
            capture_output=True,
            text=True,
            env=environment,
            cwd=CHECKOUT,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def follow(self) -> None:
        """Sections 1 to 3."""
        (new_project, _), (new,), (check,), *_ = commands()
        self.save("~/data/packages.jsonl")
        self.run(new_project, project=False)
        self.run(new)
        contract = self.project / "dags" / "datasets" / "packages.yaml"
        assert contract.read_text() == proposed().replace(HOME_ON_THE_PAGE, str(self.home))
        for path in files_shown(PAGE):
            self.save(path)
        assert "10 passed" in self.run(check)
