"""The demo's own data sources: a drop folder, a SQL database and an HTTP API, fed with real reference data.

They stand for other people's systems, so they know nothing of the platform.
"""
