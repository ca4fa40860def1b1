"""What the broker says of a topic: which one it is, and which offsets it has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from millstream.errors import ClusterError, SourceUnavailableError

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

ASK_S = 10.0


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

    def __init__(self, servers: str) -> None:
        from confluent_kafka.admin import AdminClient

        self._servers = servers
        self._admin: AdminClient = AdminClient(
            {"bootstrap.servers": servers, "log_level": 0, "socket.timeout.ms": int(ASK_S * 1000)}
        )

    def look(self, name: str) -> Topic:
        """Raises: SourceUnavailableError: no such topic; ClusterError: the broker does not answer."""
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

    def _away(self, error: BaseException) -> ClusterError:
        return ClusterError(f"Kafka at {self._servers} does not answer: {error}")
