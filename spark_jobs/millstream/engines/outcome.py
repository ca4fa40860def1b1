"""How a submitted job ended, in a file: its result, or the class and message of its exception.

spark-submit hands back an exit status only, and retry rules need to know what failed.
"""

from __future__ import annotations

from typing import Any

from millstream.errors import MillstreamError, error_class, without_stack
from millstream.jobs import JobModel


class Outcome(JobModel):
    """Exactly one of `result` and `error` is set."""

    result: dict[str, Any] | None = None
    error: str | None = None
    message: str = ""

    @classmethod
    def of_error(cls, error: BaseException) -> Outcome:
        return cls(error=type(error).__name__, message=without_stack(str(error)) or repr(error))

    def result_or_raise(self) -> dict[str, Any]:
        """The result. Raises the job's own exception class; ClusterError for one that is not ours."""
        if self.error is not None:
            ours = error_class(self.error)
            known = issubclass(ours, MillstreamError) and ours.__name__ == self.error
            raise ours(self.message if known else f"{self.error}: {self.message}")
        return self.result or {}
