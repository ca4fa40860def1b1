"""Extractors, one for each kind of source: what to fetch (`plan`), and fetching it into landing (`fetch`).

An extractor takes a contract and a resolved connection: a folder, an HTTP endpoint with its authentication,
or a SQLAlchemy engine. It never sees Airflow. Both steps can be repeated: a retry asks for what is missing.
"""
