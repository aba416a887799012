"""A process of its own, because Helm's library brings Go's runtime along: values on the input, manifests on the output.

Input and output are JSON: a list of values; for each a list of manifests, or what is wrong with the values.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import helm_python
import yaml


def rendered(chart: helm_python.Chart, values: dict[str, Any]) -> list[Any] | str:
    try:
        chart.validate_schema(values)
        files = chart.render(values, name="photos", namespace="shoal")
    except helm_python.HelmError as error:
        return str(error)
    return [
        manifest
        for name, text in sorted(files.items())
        if name.endswith(".yaml")
        for manifest in yaml.safe_load_all(text)
        if manifest is not None
    ]


def main() -> None:
    folder = sys.argv[1]
    all_values = json.load(sys.stdin)
    with helm_python.Chart.load(folder) as chart:
        answers = [rendered(chart, values) for values in all_values]
    json.dump({"rendered": answers, "lint": helm_python.lint(folder, all_values[0], strict=True)}, sys.stdout)


if __name__ == "__main__":
    main()
