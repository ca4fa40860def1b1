"""A contract for weather records over HTTP, of which an increment is asked for."""

from __future__ import annotations

from typing import Any

from millstream.contracts.contract import Contract


def weather(page_size: int = 3, **more: Any) -> Contract:
    """`more` are entries of the contract, in the place of these."""
    source = {"kind": "http", "connection": "weather_api", "endpoint": "/weather", "page_size": page_size}
    return Contract.from_dict(
        {
            "dataset": "weather",
            "version": 1,
            "description": "Hourly observations.",
            "owner": "data",
            "source": {**source, "since_param": "since"},
            "load": "watermark",
            "start_date": "2013-01-01",
            "columns": [
                {"name": "origin", "type": "string", "description": "Airport"},
                {"name": "time_hour", "type": "timestamp", "description": "Hour"},
            ],
            "primary_key": ["origin", "time_hour"],
            "event_time": "time_hour",
            **more,
        },
        origin="weather.yaml",
    )
