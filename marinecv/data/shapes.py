"""Sizes and bounding boxes of shapes as annotation files state them."""

from collections.abc import Iterable
from math import cos, radians, sin

Corners = tuple[float, float, float, float]  # xmin, ymin, xmax, ymax


def size_of(width: object, height: object) -> tuple[int, int] | None:
    """Return a stated width and height, None where they are no sizes."""
    try:
        sides = round(float(width)), round(float(height))
    except (TypeError, ValueError, OverflowError):
        return None
    return sides if 0 < min(sides) <= max(sides) < 2**31 else None


def enclosing(points: Iterable[tuple[float, float]]) -> Corners:
    """Return the box around points; raise ValueError where there is none."""
    x, y = zip(*points, strict=True)
    return min(x), min(y), max(x), max(y)


def turned(corners: Corners, degrees: float, x: float, y: float) -> Corners:
    """Return the box around a box that is turned clockwise about the point (x, y)."""
    left, top, right, bottom = corners
    c, s = cos(radians(degrees)), sin(radians(degrees))
    sides = [(i - x, j - y) for i in (left, right) for j in (top, bottom)]
    return enclosing((x + i * c - j * s, y + i * s + j * c) for i, j in sides) if degrees else corners
