"""The other side of `bench.training`: the plain MLlib script of `bench.handwritten`, on the same rows.

python -m bench.training_by_hand LAKE_FOLDER OUTPUT_FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from bench.handwritten import Script
from bench.sides import Steps
from bench.training_rows import TABLE
from millstream.models import model_spec


def main(lake: Path, out: Path) -> dict[str, Any]:
    script, steps = Script(lake, out), Steps()
    (out / "features").symlink_to(lake / TABLE)
    spec = model_spec("arrival_delay")
    model, tested = steps.timed("train", lambda: script.train(spec))
    steps.timed("score", lambda: script.predict(spec, model))
    return {
        "steps": steps.seconds,
        "predictions": script.table(f"{spec.name}_predictions").count(),
        "auc_roc": tested["auc_roc"],
    }


if __name__ == "__main__":
    print(json.dumps(main(*(Path(argument).resolve() for argument in sys.argv[1:]))))
