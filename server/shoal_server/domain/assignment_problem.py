"""Maximum-weight matching in a sparse bipartite graph."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def maximum_weight_matching(
    rows: NDArray[np.int64], columns: NDArray[np.int64], weights: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Chooses edges of greatest total weight such that no row and no column is met twice.

    Among matchings of the same weight, one with the most edges is chosen. The arithmetic is in whole numbers, so the
    answer is exact. Which of several equally good ones it is depends on the numbers that name rows and columns, but
    not on the order of the edges.

    The graph is cut into its connected components, each of which is solved by itself with shortest augmenting paths
    (Jonker and Volgenant 1987, doi:10.1007/BF02278710). The contingency table of two clusterings falls into many small
    components; one of a rows and b columns takes O(min(a, b)^2 max(a, b)) steps.

    Args:
        rows: (e,), one end of each edge.
        columns: (e,), its other end. No pair of ends occurs twice.
        weights: (e,), at least 1.

    Returns:
        Positions of the chosen edges, ascending.
    """
    chosen: list[int] = []
    for edges in _components(rows, columns):
        row_names, i = np.unique(rows[edges], return_inverse=True)
        column_names, j = np.unique(columns[edges], return_inverse=True)
        shape = (len(row_names), len(column_names))
        costs = np.zeros(shape, dtype=np.int64)
        # All the edges together count for less than one unit of weight.
        costs[i, j] = -(weights[edges] * (min(shape) + 1) + 1)
        position = np.full(shape, -1, dtype=np.int64)
        position[i, j] = edges
        if shape[0] > shape[1]:
            costs, position = costs.T, position.T
        pairs = position[np.arange(len(position)), _cheapest_columns(costs)]
        chosen += pairs[pairs >= 0].tolist()
    return np.array(sorted(chosen), dtype=np.int64)


def _components(rows: NDArray[np.int64], columns: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Positions of the edges of each connected component."""
    edges_at: dict[tuple[str, int], list[int]] = {}
    ends = [(("row", r), ("column", c)) for r, c in zip(rows.tolist(), columns.tolist(), strict=True)]
    for edge, pair in enumerate(ends):
        for end in pair:
            edges_at.setdefault(end, []).append(edge)
    components = []
    seen: set[int] = set()
    for first in range(len(ends)):
        if first in seen:
            continue
        seen.add(first)
        component = [first]
        for edge in component:  # grows while it is walked
            for end in ends[edge]:
                new = [other for other in edges_at.pop(end, []) if other not in seen]
                seen.update(new)
                component += new
        components.append(np.array(component, dtype=np.int64))
    return components


def _cheapest_columns(costs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Solves the linear assignment problem for a matrix with no more rows than columns.

    Returns:
        (rows,), the column of each row, all different, of least total cost.
    """
    n, m = costs.shape
    unreached = np.iinfo(np.int64).max
    row_price = np.zeros(n, dtype=np.int64)
    column_price = np.zeros(m, dtype=np.int64)
    row_at = np.full(m, -1, dtype=np.int64)
    for start in range(n):
        distance = np.full(m, unreached, dtype=np.int64)
        before = np.full(m, -1, dtype=np.int64)
        scanned = np.zeros(m, dtype=np.bool_)
        row, column, reached = start, -1, 0
        while row >= 0:
            through = reached + costs[row] - row_price[row] - column_price
            better = ~scanned & (through < distance)
            distance[better] = through[better]
            before[better] = column
            column = int(np.argmin(np.where(scanned, unreached, distance)))
            reached = int(distance[column])
            scanned[column] = True
            row = int(row_at[column])
        # The prices keep every reduced cost at 0 or above and those of the assigned pairs at 0.
        row_price[start] += reached
        inside = scanned & (row_at >= 0)
        row_price[row_at[inside]] += reached - distance[inside]
        column_price[scanned] -= reached - distance[scanned]
        while column >= 0:
            previous = int(before[column])
            row_at[column] = row_at[previous] if previous >= 0 else start
            column = previous
    columns = np.empty(n, dtype=np.int64)
    taken = np.flatnonzero(row_at >= 0)
    columns[row_at[taken]] = taken
    return columns
