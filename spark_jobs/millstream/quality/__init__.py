"""The quality gate: Great Expectations suites, the row split made from them, and verdicts."""
