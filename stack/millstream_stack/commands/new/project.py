"""`make new-project DIR=…`: a folder of one's own for datasets, marts and models, in a git of its own."""

from __future__ import annotations

import subprocess
from pathlib import Path

from rich.console import Console

from millstream.errors import ConfigurationError
from millstream.settings import Settings
from millstream_stack.commands.new.files import write

FOLDERS = (
    "dags/datasets",
    "dashboards",
    "expectations",
    "features",
    "marts",
    "models",
    "tests",
    "transforms",
)
# What every lake needs, whatever is in it.
OPERATIONS = ("maintain_lake", "reconcile", "replay_quarantine")
README = """# {name}

Datasets, marts and models for Millstream. `dags/` has a DAG file for each, `dags/datasets/` the contracts,
`marts/` the SELECTs; `dashboards/` the notebooks that draw them; `transforms/`, `features/`, `models/` and
`expectations/` what they need beside.

In the checkout of Millstream:

```bash
echo MILLSTREAM_PROJECT={folder} >>.env
make up
make new DATASET=orders FROM=/data/orders.csv
stack/run pytest {folder}/tests
```
"""
TESTS = '''"""What holds for every project: its DAGs load, and its files belong together."""

from millstream_airflow.project_checks import *  # noqa: F403
'''
IGNORED = "__pycache__/\nexpectations/proposed/\n"


def new_project(settings: Settings, folder: Path, screen: Console) -> None:
    """Make the project `folder`. Raises ConfigurationError when something is in it already."""
    folder = folder.resolve()
    if folder.is_dir() and any(folder.iterdir()):
        raise ConfigurationError(f"{folder} is not empty: nothing was written")
    for name in FOLDERS:
        (folder / name).mkdir(parents=True)
        (folder / name / ".gitkeep").touch()
    operations = {
        folder / "dags" / f"{name}.py": (settings.root / "dags" / f"{name}.py").read_text(encoding="utf-8")
        for name in OPERATIONS
    }
    more = {
        folder / "README.md": README.format(name=folder.name, folder=folder),
        folder / "tests" / "test_project.py": TESTS,
        folder / ".gitignore": IGNORED,
    }
    write({**operations, **more}, folder, screen)
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    screen.print(
        f"Now write MILLSTREAM_PROJECT={folder} into {settings.root / '.env'}, then `make up`.",
        markup=False,
        soft_wrap=True,
    )
