"""Extractors, one for each kind of source: what to fetch (`plan`), and fetching it into landing (`fetch`).

An extractor takes a contract and a resolved connection: a folder, an HTTP endpoint with its authentication,
or a SQLAlchemy engine. It never sees Airflow. Both steps can be repeated: a retry asks for what is missing.
"""

from millstream.sources.files import FilesExtractor, FileSlice, SourceFile
from millstream.sources.http import HttpExtractor, HttpSlice
from millstream.sources.http_client import HttpEndpoint, Patience
from millstream.sources.sql import SqlExtractor, SqlSlice

Extractor = FilesExtractor | HttpExtractor | SqlExtractor
Slice = FileSlice | HttpSlice | SqlSlice

__all__ = [
    "Extractor",
    "FileSlice",
    "FilesExtractor",
    "HttpEndpoint",
    "HttpExtractor",
    "HttpSlice",
    "Patience",
    "Slice",
    "SourceFile",
    "SqlExtractor",
    "SqlSlice",
]
