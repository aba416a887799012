"""The map as one file: what is in it, and that hostile text stays text."""

from __future__ import annotations

import base64
import hashlib
import json
import re

import pytest

from shoal_server.web import snapshot

HOSTILE = "</script><img src=x onerror=alert(1)><!--"


def data(title: str = "photos", files: tuple[str, ...] = ()) -> dict[str, object]:
    return {"title": title, "files": list(files)}


def test_all_is_in_it_and_it_asks_nobody_for_anything() -> None:
    page = snapshot.page(data())
    assert "class ScatterMap" in page
    assert ".map-canvas" in page
    assert re.search(r"^(import|export)\b", page, re.MULTILINE) is None
    assert re.search(r"""(src|href)\s*=\s*["'](https?:)?//""", page) is None
    assert page.count("<script") == page.count("</script>") == 2


def test_its_policy_lets_only_its_own_script_run() -> None:
    page = snapshot.page(data())
    [script] = re.findall(r'<script type="module">(.*?)</script>', page, re.DOTALL)
    [style] = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    [policy] = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    policy = policy.replace("&#x27;", "'")
    for kind, content in (("script-src", script), ("style-src", style)):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{kind} 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy


def test_hostile_text_ends_no_element() -> None:
    page = snapshot.page(data(HOSTILE, (HOSTILE, "\u2028")))
    assert page.count("<script") == page.count("</script>") == 2
    assert "<img" not in page
    [told] = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert json.loads(told) == data(HOSTILE, (HOSTILE, "\u2028"))


def test_every_module_is_there_once_and_before_those_that_import_it() -> None:
    page = snapshot.page(data())
    made = re.findall(r"^const (js_\w+) = \(\(\) => \{$", page, re.MULTILINE)
    assert len(made) == len(set(made))
    assert made[-1] == "js_snapshot_snapshot_js"
    for used in re.finditer(r"^const \{ .* \} = (js_\w+);$", page, re.MULTILINE):
        assert page.index(f"const {used[1]} = (()") < used.start()


@pytest.mark.parametrize("title", ["", "a & b"])
def test_the_title_is_the_pages(title: str) -> None:
    assert f"<title>{title.replace('&', '&amp;')}</title>" in snapshot.page(data(title))
