"""Documents whose steps need Spark are run with the Spark tests' own session."""

from tests.spark.conftest import spark

__all__ = ["spark"]
