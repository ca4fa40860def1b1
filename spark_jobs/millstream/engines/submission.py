"""What a submitted job is to do, in a file of the lake, and how it ended, in another.

A command line is short and anybody can read it. The file belongs to the submitting user alone, and the job
removes it as soon as it has read it: it may carry the logins that the job needs.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import Field

from millstream.engines.outcome import Outcome
from millstream.jobs import JobModel
from millstream.lake.storage import Storage
from millstream.landing.manifest import run_key

LONGEST_TAG = 90


def task_tag(task: str) -> str:
    """By which YARN knows the jobs of a task, of whichever try."""
    return f"task-{hashlib.sha256(task.encode()).hexdigest()[:32]}"


class Submission(JobModel):
    """A job with its arguments; `environment` is added to that of its driver."""

    job: str
    arguments: dict[str, Any]
    environment: dict[str, str] = Field(default_factory=dict)

    @property
    def digest(self) -> str:
        """The same for the same job with the same arguments; logins may change meanwhile."""
        text = json.dumps([self.job, self.arguments], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class SubmittedJob:
    """The files and tags of a submission by the task `task`, of whichever try."""

    def __init__(self, storage: Storage, task: str, submission: Submission) -> None:
        self._storage = storage
        self._submission = submission
        key = run_key(f"{task.replace('/', '.')}.{submission.digest}")
        self.path = f"submissions/{key}.json"
        self.outcome_path = f"outcomes/{key}.json"
        self.task_tag = task_tag(task)
        self.own_tag = f"{self.task_tag}-{submission.digest}"

    def write(self) -> None:
        """Put the submission where its driver looks for it; what an earlier one left goes."""
        self._storage.remove(self.outcome_path)
        self._storage.write(self.path, self._submission.model_dump_json().encode(), private=True)

    def take_outcome(self) -> Outcome | None:
        """How the job ended, once; None when it has left no word. Nothing of it stays in the lake."""
        if not self._storage.exists(self.outcome_path):
            return None
        outcome = Outcome.model_validate_json(self._storage.read(self.outcome_path))
        self.clear()
        return outcome

    def clear(self) -> None:
        self._storage.remove(self.path)
        self._storage.remove(self.outcome_path)


def take(storage: Storage, path: str) -> Submission:
    """Read a submission and remove it. Raises ClusterError when it has been taken before."""
    content = storage.read(path)
    storage.remove(path)
    return Submission.model_validate_json(content)
