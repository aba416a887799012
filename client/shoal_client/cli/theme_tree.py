"""Clusters below their themes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.markup import escape
from rich.tree import Tree

from shoal_client.cli.output import console, print_json, printable
from shoal_client.results import Cluster, Theme


@dataclass(frozen=True, slots=True)
class Branch:
    """A theme with what hangs right below it; ``theme`` is None for the clusters below none."""

    theme: Theme | None
    branches: list[Branch]
    clusters: list[Cluster]


def branches(themes: Sequence[Theme], clusters: Sequence[Cluster]) -> list[Branch]:
    """The tree of themes; a theme with no cluster below it is left out.

    A cluster hangs below the deepest theme that lists it: the answer of another moment may know other themes.
    """
    depth: dict[int, int] = {}
    for theme in themes:  # parents stand before their children
        depth[theme.id] = depth.get(theme.parent_id, -1) + 1 if theme.parent_id is not None else 0
    home: dict[int, int] = {}
    for theme in sorted(themes, key=lambda each: depth[each.id]):
        home |= dict.fromkeys(theme.clusters, theme.id)
    made = {
        theme.id: Branch(theme, [], [each for each in clusters if home.get(each.id) == theme.id]) for theme in themes
    }
    roots: list[Branch] = []
    for theme in themes:
        parent = made.get(theme.parent_id) if theme.parent_id is not None else None
        (roots if parent is None else parent.branches).append(made[theme.id])
    loose = [each for each in clusters if each.id not in home]
    found = [branch for branch in roots if _bears(branch)]
    return [*found, Branch(None, [], loose)] if loose else found


def print_tree(themes: Sequence[Theme], clusters: Sequence[Cluster], *, as_json: bool) -> None:
    """Prints clusters below their themes: JSON lines, a theme each, parents first; or a tree."""
    found = branches(themes, clusters)
    if as_json:
        for branch in _all(found):
            print_json(_record(branch))
        return
    if not found:
        console().print("none")
    for branch in found:
        tree = Tree(_title(branch))
        _grow(tree, branch)
        console().print(tree, soft_wrap=True)


def _bears(branch: Branch) -> bool:
    return bool(branch.clusters) or any(map(_bears, branch.branches))


def _all(found: Sequence[Branch]) -> Iterator[Branch]:
    for branch in found:
        yield branch
        yield from _all([each for each in branch.branches if _bears(each)])


def _record(branch: Branch) -> dict[str, Any]:
    theme = branch.theme
    return {
        "theme_id": None if theme is None else theme.id,
        "name": None if theme is None else theme.name,
        "parent_id": None if theme is None else theme.parent_id,
        "clusters": [{"id": each.id, "name": each.name, "size": each.size} for each in branch.clusters],
    }


def _title(branch: Branch) -> str:
    if branch.theme is None:
        return "below no theme"
    return f"[bold]{escape(printable(branch.theme.name))}[/bold] (theme {branch.theme.id})"


def _grow(tree: Tree, branch: Branch) -> None:
    for each in branch.branches:
        if _bears(each):
            _grow(tree.add(_title(each)), each)
    for cluster in branch.clusters:
        tree.add(escape(printable(f"{cluster.id} {cluster.name} ({cluster.size})")))
