"""Branch and bound over the few whole numbers that shape a plan, racks divisible.

When tranches are released, whether runs are late and where they are placed decide most of what whole numbers cost a plan;
rack blocks cost little. A solver that may branch on thousands of rack blocks seldom asks the questions that matter. This tree
asks only those, tranches in order of time first: what is late early moves everything after it. Its first way down, to the
better side at every question, ends in a plan's shape; from then on the node with the best bound is opened next.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from gigaforge.buildout.search.reduced import SHAPE, Array, Columns, Point, Reduced

__all__ = ["Node", "Tree"]

WHOLE: Final = 1e-6
_FIRST_LOOK: Final = 0.03
"""How far below the root a side is followed before there is a plan [fraction]."""
_PLACES: Final = ("chosen", "spanned")


@dataclass(frozen=True, eq=False)
class Node:
    """Bounds of the shape, and the relaxation's optimum within them."""

    lower: Array
    upper: Array
    point: Point

    @property
    def bound(self) -> float:
        """What no plan within these bounds is worth more than."""
        return self.point.bound


@dataclass
class Tree:
    """Nodes still open, and the best bound of those closed.

    Attributes
    ----------
    reduced : Reduced
        The relaxation.
    columns : dict
        Columns of the programme by variable, in the order in which they are settled.
    worth : float
        Of the best plan known; minus infinity without one.
    gap : float
        Relative distance to the bound at which a node is closed [fraction].
    opened : int
        Nodes opened so far.

    """

    reduced: Reduced
    columns: dict[str, Columns]
    gap: float
    worth: float = -np.inf
    closed: float = -np.inf
    opened: int = 0
    _now: float = np.inf  # bound of the node in hand
    _pushed: int = 0
    _open: list[tuple[float, int, Node]] = field(default_factory=list)
    _order: list[tuple[str, Columns]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Find the shape's numbers behind presolve."""
        self._order = [(n, self.reduced.where(self.columns[n])) for n in SHAPE if n in self.columns]

    @property
    def enough(self) -> float:
        """A bound at or below this is within the gap of the best plan."""
        return self.worth + self.gap * abs(self.worth)

    @property
    def bound(self) -> float:
        """No plan is worth more."""
        return max(self.closed, self._now, -self._open[0][0] if self._open else -np.inf)

    def leaves(self, lower: Array, upper: Array, limit: int, go_on: Callable[[], bool]) -> Iterator[Node]:
        """Yield shapes that are whole, the best bound first but for the first; set `worth` between them.

        Parameters
        ----------
        lower, upper : (N,) array
            Bounds of the shape that the tree grows in.
        limit : int
            Most nodes to open.
        go_on : callable
            Asked before each node.

        """
        node: Node | None = Node(lower, upper, self.reduced.solve(lower, upper))
        while True:
            self._now = -np.inf
            if node is None:
                node = self._best()
            if node is None:
                return
            self._now = node.bound
            if not node.point.shape.size:
                node = self._again(node)
                if node is None:
                    continue
            question = self._question(node.point.shape)
            if question is None:
                self.closed = max(self.closed, node.bound)
                yield node
                node = None
            elif self.opened >= limit or not go_on():
                self._push(node)
                self._now = -np.inf
                return
            else:
                node = self._branch(node, *question)

    def _best(self) -> Node | None:
        """The open node with the best bound, None where all that is left is within the gap."""
        if not self._open or -self._open[0][0] <= self.enough:
            return None
        return heapq.heappop(self._open)[2]

    def _push(self, node: Node) -> None:
        self._pushed += 1  # the two sides of a question may have the same bound
        heapq.heappush(self._open, (-node.bound, self._pushed, node))

    def _again(self, node: Node) -> Node | None:
        """Solve anew what was left at a first look."""
        point = self.reduced.solve(node.lower, node.upper, basis=node.point.basis, enough=self.enough)
        point = _no_better(point, node.bound)
        if point.bound <= self.enough or not point.shape.size:
            self.closed = max(self.closed, point.bound)
            return None
        return Node(node.lower, node.upper, point)

    def _question(self, shape: Array) -> tuple[str, int] | None:
        """The first number that is not whole: in order of time, or of places the surest."""
        broken = np.abs(shape - np.rint(shape)) > WHOLE
        for name, mine in self._order:
            left = mine[broken[mine]]
            if left.size:
                return name, int(left[np.argmax(shape[left])] if name in _PLACES else left[0])
        return None

    def _branch(self, node: Node, name: str, column: int) -> Node | None:
        """Solve both sides; go on with the better one before there is a plan, and with the best node after."""
        self.opened += 1
        found = not np.isneginf(self.worth)
        root = self.bound
        enough = self.enough if found else root - _FIRST_LOOK * abs(root)
        sides, basis = [], node.point.basis
        value = node.point.shape[column]
        for up in (False, True):
            lower, upper = node.lower.copy(), node.upper.copy()
            if up:
                lower[column] = np.ceil(value - WHOLE)
            else:
                upper[column] = np.floor(value + WHOLE)
            point = _no_better(self.reduced.solve(lower, upper, basis=basis, enough=enough), node.bound)
            sides.append(Node(lower, upper, point))
            basis = point.basis if not found else node.point.basis
        alive = [s for s in sides if s.bound > (self.enough if found else -np.inf)]
        for side in sides:
            if not np.isneginf(side.bound) and side not in alive:
                self.closed = max(self.closed, side.bound)
        ahead = None
        if not found and alive:
            ahead = sides[1] if name in _PLACES and sides[1] in alive else max(alive, key=lambda s: s.bound)
        for side in alive:
            if side is not ahead:
                self._push(side)
        return ahead


def _no_better(point: Point, bound: float) -> Point:
    """A side is never worth more than the whole, whatever tolerances say."""
    return Point(min(point.bound, bound), point.shape, point.basis)
