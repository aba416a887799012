"""The map as one file: the explorer's own modules and style sheets, and the data, in a page that asks nobody anything.

It needs the standard library only, so that ``shoal map`` works where the server's dependencies are not installed.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import posixpath
import re
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

_ENTRY = "js/snapshot/snapshot.js"
_STYLES = ("css/tokens.css", "css/base.css", "css/components.css", "css/map.css", "css/snapshot.css")

# The explorer's modules import and export by name only, each statement at the beginning of a line.
_IMPORT = re.compile(r'^import \{([^}]*)\} from "([^"]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async function\*?|function\*?|class|const) (\w+))", re.MULTILINE)
# Types in comments name modules like calls of `import` do.
_UNKNOWN = re.compile(r"^(?:import\b|export\b)|^(?!\s*/?\*).*\bimport\(", re.MULTILINE)


def page(data: Mapping[str, Any]) -> str:
    """The page.

    Args:
        data: what ``js/snapshot/snapshot.js`` reads, as JSON can say it; ``title`` is the page's title too. Any text in
            it may be hostile.
    """
    explorer = files("shoal_server") / "web" / "explorer"
    style = "\n".join(_text(explorer, name) for name in _STYLES)
    script = _bundle(explorer)
    # Neither tags nor comments can begin in it, and it stays the same JSON.
    told = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    policy = f"default-src 'none'; script-src {_digest(script)}; style-src {_digest(style)}; img-src data:"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{html.escape(policy)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{html.escape(str(data['title']))}</title>\n<style>{style}</style>\n</head>\n"
        '<body>\n<main id="main"></main>\n'
        f'<script type="application/json" id="data">{told}</script>\n'
        f'<script type="module">{script}</script>\n</body>\n</html>\n'
    )


def _digest(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def _text(folder: Traversable, name: str) -> str:
    return folder.joinpath(*name.split("/")).read_text("utf-8")


def _bundle(explorer: Traversable) -> str:
    """The entry module and all that it imports as one script, each module in a function of its own."""
    written: dict[str, str] = {}
    _add(explorer, _ENTRY, written)
    return "\n".join(written.values())


def _add(explorer: Traversable, name: str, written: dict[str, str]) -> None:
    """Adds a module after those it imports.

    Raises:
        ValueError: it imports or exports in another way than by name.
    """
    source = _text(explorer, name)

    def imported(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(name), match[2]))
        if target not in written:
            _add(explorer, target, written)
        names = ", ".join(each.strip().replace(" as ", ": ") for each in match[1].split(",") if each.strip())
        return f"const {{ {names} }} = {_variable(target)};\n"

    exported = [match[1] for match in _EXPORT.finditer(source)]
    body = _EXPORT.sub("", _IMPORT.sub(imported, source))
    if (found := _UNKNOWN.search(body)) is not None or "</script" in body.lower():
        line = "</script" if found is None else body[found.start() :].partition("\n")[0]
        raise ValueError(f"{name}: a snapshot cannot hold {line!r}")
    written[name] = f"const {_variable(name)} = (() => {{\n{body}\nreturn {{ {', '.join(exported)} }};\n}})();"


def _variable(name: str) -> str:
    return re.sub(r"\W", "_", name)
