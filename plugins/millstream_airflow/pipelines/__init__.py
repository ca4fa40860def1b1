"""DAG builders, one module a kind of pipeline."""
