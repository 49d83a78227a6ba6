"""The page: one HTML file with everything inside, from the files in ``template/`` and Vega-Lite.

Vega-Lite draws the curves and the parallel coordinates; of the libraries that can be written into a file it is the
smallest (0.9 MB; Bokeh 1.3 MB, Plotly 4.8 MB). It is only needed to write the page, and comes with ``vl-convert``.

Runs may come from strangers. Their data is JSON in which no tag can be closed, the scripts insert it as text only, and
the page's content security policy allows no scripts but the page's own, and no requests.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from importlib import resources, util
from importlib.metadata import version
from pathlib import Path
from typing import Any

import platformdirs

from saddlepoint.errors import UserError
from saddlepoint.report import formats, pictures
from saddlepoint.report.formats import Report
from saddlepoint.report.runs import Run
from saddlepoint.report.series import curves
from saddlepoint.report.settings import IGNORED, shown
from saddlepoint.report.table import Group, Row, Score, Table, device, student
from saddlepoint.report.verdicts import Verdict
from saddlepoint.writing import write_atomically

MARK = "<!-- A report by Saddlepoint -->"
"""The second line of every page, by which a report is recognized that may be overwritten."""
SCRIPTS = ("dom", "table", "verdicts", "curves", "pictures", "parallel", "configs", "main")
"""The scripts of the page, in the order in which they run."""


def page(report: Report) -> str:
    """Return the page.

    Raises:
        UserError: the library that draws the curves is not installed.
    """
    library, script = plotting_library(), _script()
    runs = [row.run for row in report.table.rows]
    chosen = pictures.shown(runs)
    encoded, problems = pictures.encode_all([p for kinds in chosen for each in kinds.values() for p in each])
    data, blocks = _data(report, problems), []
    for index, (run, kinds) in enumerate(zip(runs, chosen, strict=True)):
        series = curves(run)
        usable = {kind: found for kind, each in kinds.items() if (found := [p for p in each if p in encoded])}
        data["runs"][index]["series"] = list(series)
        data["runs"][index]["pictures"] = {kind: [p.images_seen for p in each] for kind, each in usable.items()}
        blocks.append(_block(f"curves-{index}", series))
        blocks.append(_block(f"pictures-{index}", {kind: [encoded[p] for p in each] for kind, each in usable.items()}))
    blocks.insert(0, _block("data", data))
    policy = (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
        f"script-src 'unsafe-eval' '{_hash(library)}' '{_hash(script)}'"  # Vega compiles its expressions
    )
    parts = {
        "mark": MARK,
        "policy": policy,
        "style": _template("page.css"),
        "data": "\n".join(blocks),
        "library": library,
        "script": script,
    }
    text = _template("page.html")
    before, *rest = text.split("{{")
    return before + "".join(parts[name] + after for name, _, after in (part.partition("}}") for part in rest))


def _template(name: str) -> str:
    return resources.files("saddlepoint.report").joinpath("template", name).read_text(encoding="utf-8")


def _script() -> str:
    """Return the page's scripts as one, in a function, so that they define no global names."""
    return "(() => {\n" + "\n".join(_template(f"{name}.js") for name in SCRIPTS) + "})();"


def _hash(script: str) -> str:
    """Return a script's hash for the content security policy."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _block(name: str, content: Any) -> str:
    """Return data as JSON in a script element, with the characters escaped that could end the element."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return f'<script type="application/json" id="{name}">{text}</script>'


@cache
def plotting_library() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script, which takes seconds to bundle and is therefore cached.

    Raises:
        UserError: vl-convert is not installed.
    """
    if util.find_spec("vl_convert") is None:
        remedy = "pip install 'saddlepoint[report]', or choose csv or json"
        raise UserError("the page needs vl-convert, which is not installed", "format", remedy)
    name = f"vega-{version('vl-convert-python')}.js"
    file = Path(platformdirs.user_cache_dir("saddlepoint")) / name
    if file.exists():
        return file.read_text(encoding="utf-8")
    import vl_convert

    text = str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")).replace("</script", "<\\/script")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, text.encode())
    except OSError:  # a read-only home; the library is then bundled each time
        pass
    return text


def _data(report: Report, problems: list[str]) -> dict[str, Any]:
    """Return what the page shows at once; curves and pictures are separate, since they are read when they are shown."""
    table = report.table
    rows = table.rows
    shared = _shared([row.run for row in rows])
    index = {row.name: i for i, row in enumerate(rows)}
    largest = max(len(group.rows) for group in table.groups)
    return {
        "written": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        "value": report.value,
        "names": list(table.names),
        "following": formats.following(table),
        "columns": [
            {
                "title": column.title,
                "metric": column.protocol.metric,
                "protocol": ", ".join(f"{k} {v}" for k, v in column.protocol._asdict().items() if v is not None),
                "lower": column.lower,
                "real": formats.real(column),
                "realValue": None if column.real is None else sum(column.real) / 2,
                "compared": i in report.columns,
            }
            for i, column in enumerate(table.columns)
        ],
        "groups": [_group(group, index, table) for group in table.groups],
        "runs": [_run(row, report, shared) for row in rows],
        "config": shared,
        "verdicts": [_verdict(verdict) for verdict in report.verdicts],
        "problems": [*report.problems, *problems],
        "t": [student(degrees) for degrees in range(1, largest)],
    }


def _group(group: Group, index: Mapping[str, int], table: Table) -> dict[str, Any]:
    columns = range(len(table.columns))
    return {
        "label": group.label,
        "mark": group.mark,
        "runs": [index[row.name] for row in group.rows],
        "last": [group.over_seeds(column, "last") for column in columns],
        "best": [group.over_seeds(column, "best") for column in columns],
    }


def _run(row: Row, report: Report, shared: Mapping[str, str]) -> dict[str, Any]:
    run = row.run
    return {
        "name": row.name,
        "label": row.label,
        "path": str(run.path),
        "seed": run.setup.seed,
        "settings": [shown(run.setup.value(name)) for name in report.table.names],
        "scores": [_score(score) for score in row.scores],
        "images": run.images_seen,
        "updates": run.generator_updates,
        "hours": round(run.hours, 6),
        "device": device(run),
        "finished": run.finished,
        "command": report.commands.get(row.name),
        "config": {key: value for key, value in _config(run).items() if shared.get(key) != value},
    }


def _score(score: Score | None) -> list[float | None] | None:
    return None if score is None else [score.last, score.last_at, score.best, score.best_at]


def _config(run: Run) -> dict[str, str]:
    """Return all settings of a run as text, without those of its folder and its logger."""
    keys = {key: value for key, value in run.setup.keys.items() if key.partition(".")[0] not in IGNORED}
    return {name: shown(value) for name, value in {**run.setup.choices, **keys, "seed": run.setup.seed}.items()}


def _shared(runs: list[Run]) -> dict[str, str]:
    """Return the settings of the first run that all others have too, with equal values."""
    first, *others = [_config(run) for run in runs]
    return {key: value for key, value in first.items() if all(other.get(key) == value for other in others)}


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        "sentence": verdict.sentence(),
        "differs": verdict.differs,
        "column": verdict.column,
        "first": verdict.first,
        "second": verdict.second,
        "difference": verdict.difference,
        "student": verdict.student,
        "bootstrap": verdict.bootstrap,
        "seeds": list(verdict.seeds),
        "p": verdict.p,
        "corrected": verdict.corrected,
        "comparisons": verdict.comparisons,
    }
