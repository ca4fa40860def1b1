"""The demo's own data sources: a drop folder, a SQL database and an HTTP API, fed with real reference data.

They represent other systems, so they import nothing of the platform.
"""
