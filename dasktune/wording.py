"""Wording: a domain as its user would write it down."""

from __future__ import annotations

from dasktune.domain import Domain
from dasktune.interval import Interval


def in_words(domain: Domain) -> str:
    """Write a domain as a user would, with the conditions under which it exists."""
    points = domain.points()
    if isinstance(domain, Interval):
        scale = "log-uniform" if domain.log else "uniform"
        text = f"{scale} from {domain.low:g} to {domain.high:g}"
        text += f", {len(points)} points" if points else ""
    elif points is not None and len(points) <= 12:
        text = ", ".join(str(point) for point in points)
    else:
        low, high = getattr(domain, "low", "?"), getattr(domain, "high", "?")
        text = f"whole numbers from {low} to {high}" + (
            ", on a log scale" if getattr(domain, "log", False) else ""
        )
    for parent, values in domain.conditions.items():
        text += f"; where {parent} is {' or '.join(str(value) for value in values)}"
    return text
