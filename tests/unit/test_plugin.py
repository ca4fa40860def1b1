"""What Airflow finds in plugins/, and what finding it costs every Airflow process."""

from __future__ import annotations

import json
import subprocess
import sys

from millstream.settings import CHECKOUT

PROBE = """
import json, sys
import airflow.plugins_manager as manager
before = set(sys.modules)
apps, _ = manager.get_fastapi_plugins()
(ours,) = [plugin for plugin in manager.get_plugin_info() if plugin["name"] == "millstream"]
_, errors = manager._get_plugins()
print(json.dumps({
    "apps": {app["name"]: app["url_prefix"] for app in apps},
    "views": {view["name"]: view["href"] for view in ours["external_views"]},
    "errors": errors,
    "heavy": sorted({name.partition(".")[0] for name in set(sys.modules) - before}
                    & {"pyspark", "pandas", "great_expectations", "mlflow", "matplotlib"}),
}))
"""


def test_airflow_finds_the_plugin_and_pays_little_for_it() -> None:
    found = subprocess.run(
        [sys.executable, "-c", PROBE],
        env={
            "PATH": "/usr/bin:/bin",
            "AIRFLOW_HOME": str(CHECKOUT / ".millstream" / "airflow"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(CHECKOUT / "plugins"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        },
        capture_output=True,
        text=True,
        check=True,
        timeout=200,
    )
    probe = json.loads(found.stdout.strip().splitlines()[-1])
    assert probe["errors"] == {}
    assert probe["apps"]["Millstream pages"] == "/millstream"
    assert probe["views"] == {
        "Data Docs": "/millstream/data-docs/",
        "Streams": "/millstream/streams/",
        "Dashboards": "http://127.0.0.1:2718/",
        "MLflow": "http://127.0.0.1:5000/#/models",
    }
    assert probe["heavy"] == []
