"""The stack is stopped after everything that the other files have done with it: the last file of its folder.

Nothing of it then takes time from the tests that follow in other folders.
"""

from __future__ import annotations

import pytest

from millstream.settings import Settings
from millstream_stack.credentials import Credentials
from millstream_stack.supervision.lifecycle import down, supervisor_of
from millstream_stack.supervision.processes import strays

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.mark.usefixtures("api")
def test_no_process_is_left(settings: Settings, credentials: Credentials) -> None:
    session = supervisor_of(settings, credentials).session
    assert strays(settings.home, session)
    down(settings, print)
    assert strays(settings.home, session) == []
