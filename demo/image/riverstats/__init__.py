"""A package that exists in the demo's image and nowhere else."""

import csv
import os
import statistics

__version__ = "7.3.0"


def levels() -> list[tuple[str, float]]:
    """Station and water level in metres, from the file in the image."""
    with open(os.environ["RIVER_LEVELS"]) as file:
        return [(row["station"], float(row["level"])) for row in csv.DictReader(file)]


def median_level() -> float:
    """The median water level."""
    return statistics.median(level for _, level in levels())
