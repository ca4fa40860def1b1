"""What the broker says of a topic: which one it is, and which offsets it has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from millstream.errors import ClusterError, ConfigurationError, MillstreamError, SourceUnavailableError
from millstream.streams.access import Access

if TYPE_CHECKING:
    from confluent_kafka import KafkaError
    from confluent_kafka.admin import AdminClient

ASK_S = 10.0
# What librdkafka and Kafka's client in Java say when no other try helps.
REFUSALS = {
    ("SASL authentication error", "mechanism handshake failed", "SaslAuthenticationException"): (
        "refuses the login",
        "correct sasl.username, sasl.password or sasl.mechanism",
    ),
    ("certificate verify failed", "SslAuthenticationException"): (
        "has no certificate that is trusted",
        "let ssl.ca.location name the file with the authority of the broker's certificate, and "
        "bootstrap.servers the host that this is for,",
    ),
}


@dataclass(frozen=True)
class Topic:
    """A topic as it is: of each partition the first offset that is there (`begin`) and the next one (`end`).

    `id` is the broker's own: a topic that is made anew under the same name has another.
    """

    name: str
    id: str
    begin: dict[int, int]
    end: dict[int, int]


class Topics:
    """Asks one broker, with one connection."""

    def __init__(self, access: Access) -> None:
        from confluent_kafka.admin import AdminClient

        self._servers = access.servers
        self._said: str | None = None
        settings: dict[str, Any] = {
            **access.client,
            "log_level": 0,
            "socket.timeout.ms": int(ASK_S * 1000),
            "error_cb": self._note,
        }
        self._admin: AdminClient = AdminClient(settings)

    def look(self, name: str) -> Topic:
        """Raises: SourceUnavailableError: no such topic; ClusterError: the broker does not answer;
        ConfigurationError: it refuses the login, or is not the one that the certificates are for.
        """
        from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]

        found = self._described(name)
        partitions = [partition.id for partition in found.partitions]
        return Topic(
            name,
            str(found.topic_id),
            self._offsets(name, partitions, OffsetSpec.earliest()),  # type: ignore[no-untyped-call]
            self._offsets(name, partitions, OffsetSpec.latest()),  # type: ignore[no-untyped-call]
        )

    def id_of(self, name: str) -> str:
        """The topic's id. Raises: as `look`."""
        return str(self._described(name).topic_id)

    def _described(self, name: str) -> Any:
        from confluent_kafka import KafkaError, KafkaException, TopicCollection

        self._said = None
        asked = self._admin.describe_topics(TopicCollection([name]), request_timeout=ASK_S)
        try:
            return asked[name].result(ASK_S)
        except KafkaException as error:
            if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise SourceUnavailableError(f"Kafka at {self._servers} has no topic {name!r}") from error
            raise self._away(error) from error
        except TimeoutError as error:
            raise self._away(error) from error

    def _offsets(self, name: str, partitions: list[int], which: Any) -> dict[int, int]:
        from confluent_kafka import KafkaException, TopicPartition

        asked = {TopicPartition(name, partition): which for partition in partitions}
        answers = self._admin.list_offsets(asked, request_timeout=ASK_S)
        try:
            return {one.partition: answer.result(ASK_S).offset for one, answer in answers.items()}
        except (KafkaException, TimeoutError) as error:
            raise self._away(error) from error

    def _away(self, error: BaseException) -> MillstreamError:
        # The answer is that it took too long; why, has been said beside it.
        self._admin.poll(0)
        said = self._said or str(error)
        away = ClusterError(f"Kafka at {self._servers} does not answer: {said}")
        return refusal(self._servers, said) or away

    def _note(self, error: KafkaError) -> None:
        if error.name() != "_ALL_BROKERS_DOWN":
            self._said = error.str()


def refusal(servers: str, said: str) -> ConfigurationError | None:
    """What a person has to correct, when a client of Kafka has `said` this; None where waiting may help."""
    for words, (refused, remedy) in REFUSALS.items():
        for line in said.splitlines():
            if any(word in line for word in words):
                return ConfigurationError(
                    f"Kafka at {servers} {refused}: {line.strip()}. What to do: {remedy} in the Airflow "
                    "connection that the stream's contract names, then make streams-up"
                )
    return None
