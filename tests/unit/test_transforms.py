"""What a transform module has to declare."""

from __future__ import annotations

import pytest

from millstream.errors import ConfigurationError, TransformError
from millstream.transforms import DECLARED, transform_of
from millstream.transforms import planes as module


def test_a_module_that_lacks_a_declaration_is_told_what(monkeypatch: pytest.MonkeyPatch) -> None:
    assert transform_of("planes").KEY == ("tailnum",)
    for name in ("KEY", "CHECKS"):
        monkeypatch.delattr(module, name)
    with pytest.raises(
        TransformError, match=r"^spark_jobs/millstream/transforms/planes.py lacks KEY, CHECKS\. "
    ):
        transform_of("planes")
    assert set(DECLARED) - {"KEY", "CHECKS"} <= vars(module).keys()


def test_a_dataset_without_a_module_is_told_where_to_write_it() -> None:
    with pytest.raises(ConfigurationError, match=r"write spark_jobs/millstream/transforms/nothing\.py"):
        transform_of("nothing")
