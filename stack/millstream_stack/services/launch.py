"""`python -m millstream_stack.services.launch <service>`: becomes that service, with its whole environment.

Supervisor starts services through this, so that no secret stands in its configuration or on a command line.
"""

from __future__ import annotations

import os
import sys

from millstream.settings import Settings
from millstream_stack.credentials import load_or_create
from millstream_stack.services.declared import service_environment, services


def main(name: str) -> None:
    settings = Settings()
    [command] = [service.command for service in services(settings) if service.name == name]
    os.chdir(settings.home)
    os.execvpe(command[0], command, service_environment(name, settings, load_or_create(settings)))


if __name__ == "__main__":
    main(sys.argv[1])
