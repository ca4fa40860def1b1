"""One patient request: tried again while the server may recover, refused with a reason that helps."""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Self

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt
from tenacity.wait import wait_exponential_jitter

from millstream.errors import ConfigurationError, MillstreamError, SourceDataError, SourceUnavailableError

TRANSIENT_STATUSES = frozenset({408, 425, 429})
SERVER_ERRORS = 500
# How a server refuses a page behind the last one, or one that it does not know any more.
NO_SUCH_PAGE = frozenset({400, 404, 410, 416, 422})
LOGIN_STATUSES = frozenset({401, 403})
SHOWN_CHARACTERS = 200
MOST_PORT = 65535
# A proxy of the environment cannot reach this machine's own services; None means no proxy.
NEVER_PROXIED = dict.fromkeys(("all://127.0.0.1", "all://localhost", "all://[::1]"))
LATER = "another try goes on from this page"
# It logs each address as it is sent, with a key among its parameters.
logging.getLogger("httpx").setLevel(logging.WARNING)


@dataclass(frozen=True)
class HttpEndpoint:
    """A resolved HTTP connection; what is secret in it stays out of its representation."""

    base_url: str
    auth: httpx.Auth | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    verify: bool | ssl.SSLContext = True
    # Parameters of an address that `auth` adds, and that nobody may see.
    hidden_params: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Patience:
    """How long to wait for a server, in seconds.

    A server may ask for a pause with Retry-After; one longer than `longest_pause` ends the fetch, and
    the orchestrator's own retry comes back later, instead of a worker that sleeps.
    """

    tries: int = 5
    first_pause: float = 1.0
    longest_pause: float = 60.0
    answer_within: float = 60.0
    connect_within: float = 10.0
    sleep: Callable[[float], None] = time.sleep


UNHURRIED = Patience()


def checked(endpoint: HttpEndpoint, connection: str) -> HttpEndpoint:
    """`endpoint`, if its address can be one. Raises ConfigurationError that names the connection."""
    try:
        url = httpx.URL(endpoint.base_url)
        # As a socket does, which raises what is no failure of the network.
        url.raw_host.decode("ascii").encode("idna")
        possible = url.host.isprintable() and (url.port or 0) <= MOST_PORT
    except (httpx.InvalidURL, UnicodeError):
        possible = False
    if not possible:
        # The address itself may hold a login.
        raise ConfigurationError(f"the address in connection {connection} is none: correct its host and port")
    return endpoint


class _NoAnswer(Exception):
    """The server did not answer, or asked to come back; `pause` is what it asked for, in seconds."""

    def __init__(self, reason: str, pause: float | None = None) -> None:
        super().__init__(reason)
        self.pause = pause


class PatientClient:
    """Asks one endpoint; `connection` is the connection's name, for messages."""

    def __init__(self, endpoint: HttpEndpoint, connection: str, patience: Patience) -> None:
        self._connection = connection
        self._patience = patience
        # A server may repeat the address that it refuses.
        self._shows_answers = not endpoint.hidden_params
        self._client = httpx.Client(
            auth=endpoint.auth,
            headers=dict(endpoint.headers),
            verify=endpoint.verify,
            mounts=NEVER_PROXIED,
            timeout=httpx.Timeout(patience.answer_within, connect=patience.connect_within),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def get(
        self, url: str, where: str, may_be_refused: bool = False, body: str | None = None
    ) -> httpx.Response | None:
        """The answer of `url`, without a body for 204; `where` names it in messages. With a `body`, which is
        JSON, it is asked by POST.

        None for a page that is refused as one that there is not, where that may be.

        Raises:
            SourceUnavailableError: no answer, or one that asks to come back (408, 425, 429, 5xx, and 403 with
                Retry-After), each try.
            ConfigurationError: the login was refused, or there is no such address.
            SourceDataError: the request was refused in another way.
        """
        retrying = Retrying(
            stop=stop_after_attempt(self._patience.tries),
            retry=retry_if_exception_type(_NoAnswer),
            wait=self._pause,
            sleep=self._patience.sleep,
            reraise=True,
        )
        try:
            answer = retrying(self._ask, url, where, body)
        except _NoAnswer as failure:
            raise SourceUnavailableError(
                f"{where}: {failure}, tried {self._patience.tries} times. Check the server and connection "
                f"{self._connection}; {LATER}"
            ) from failure
        if may_be_refused and answer.status_code in NO_SUCH_PAGE:
            return None
        if not answer.is_success:
            raise self._refusal(answer, where)
        return answer

    def _ask(self, url: str, where: str, body: str | None) -> httpx.Response:
        try:
            if body is None:
                answer = self._client.get(url)
            else:
                answer = self._client.post(url, content=body, headers={"Content-Type": "application/json"})
        except httpx.UnsupportedProtocol as error:
            raise ConfigurationError(f"{where}: {error} Correct connection {self._connection}") from error
        except httpx.TimeoutException as error:
            raise _NoAnswer(f"no answer in time ({type(error).__name__})") from error
        except httpx.RequestError as error:
            raise _NoAnswer(f"no answer ({error})") from error
        if _may_pass(answer):
            raise _NoAnswer(f"the server answered {_status(answer)}", self._asked_pause(answer, where))
        return answer

    def _pause(self, state: RetryCallState) -> float:
        failure = state.outcome.exception() if state.outcome else None
        if isinstance(failure, _NoAnswer) and failure.pause is not None:
            return failure.pause
        return wait_exponential_jitter(self._patience.first_pause, self._patience.longest_pause)(state)

    def _asked_pause(self, answer: httpx.Response, where: str) -> float | None:
        pause = retry_after(answer.headers.get("Retry-After"), datetime.now(UTC))
        if pause is not None and pause > self._patience.longest_pause:
            raise SourceUnavailableError(
                f"{where}: the server answered {_status(answer)} and asks to wait {pause:.0f} s; {LATER}"
            )
        return pause

    def _refusal(self, answer: httpx.Response, where: str) -> MillstreamError:
        if answer.status_code in LOGIN_STATUSES:
            return ConfigurationError(
                f"{where}: the login was refused ({_status(answer)}). Correct the login or token in "
                f"connection {self._connection}"
            )
        if answer.is_redirect or answer.status_code == httpx.codes.NOT_FOUND:
            return ConfigurationError(
                f"{where}: there is no such address ({_status(answer)}). Correct the host in connection "
                f"{self._connection}, or the contract's endpoint"
            )
        said = f": {answer.text[:SHOWN_CHARACTERS]}" if self._shows_answers else ""
        return SourceDataError(
            f"{where}: the request was refused ({_status(answer)}){said}. "
            "What to do: correct the request in the contract, or ask the API's owner; then clear the task"
        )


def retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds to wait, from a Retry-After header: a number or a date (RFC 9110, 10.2.3), else None."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (aware - now).total_seconds())


def _may_pass(answer: httpx.Response) -> bool:
    """Whether the same request may be answered later. Some servers refuse with 403 who asks too often."""
    status = answer.status_code
    asked_to_wait = status == httpx.codes.FORBIDDEN and "Retry-After" in answer.headers
    return status >= SERVER_ERRORS or status in TRANSIENT_STATUSES or asked_to_wait


def _status(answer: httpx.Response) -> str:
    return f"{answer.status_code} {answer.reason_phrase}".strip()
