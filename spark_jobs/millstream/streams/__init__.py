"""Topics of Kafka to tables, exactly once: what is read, judged and committed in each micro-batch."""
