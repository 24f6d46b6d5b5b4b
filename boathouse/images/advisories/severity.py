"""How bad an advisory is: CVSS vectors by their own arithmetic, the words of distributions and of GitHub. Pure.

Bands: https://www.first.org/cvss/specification-document (qualitative severity rating scale).
"""

from typing import Any

from boathouse.images.advisories.model import Level

LONGEST_VECTOR = 400
_WORDS = {
    "critical": Level.CRITICAL, "high": Level.HIGH, "important": Level.HIGH, "medium": Level.MEDIUM, "moderate": Level.MEDIUM,
    "low": Level.LOW, "negligible": Level.NEGLIGIBLE, "unimportant": Level.NEGLIGIBLE, "none": Level.NEGLIGIBLE,
}  # fmt: skip


def of_word(word: Any) -> Level:
    """A distribution's urgency or GitHub's severity; UNKNOWN for what is not assigned (`low**` is a guess)."""
    return _WORDS.get(word.strip().rstrip("*").lower(), Level.UNKNOWN) if isinstance(word, str) else Level.UNKNOWN


def of_vector(vector: Any) -> Level:
    """The band of a CVSS vector (2.0, 3.x, 4.0); UNKNOWN for what is none."""
    from cvss import CVSS2, CVSS3, CVSS4
    from cvss.exceptions import CVSSError

    if not isinstance(vector, str) or len(vector) > LONGEST_VECTOR:
        return Level.UNKNOWN
    try:
        if vector.startswith("CVSS:4"):
            return of_score(float(CVSS4(vector).base_score or 0))
        return of_score(float((CVSS3 if vector.startswith("CVSS:3") else CVSS2)(vector).scores()[0] or 0))
    except (CVSSError, ValueError, ArithmeticError, TypeError):
        return Level.UNKNOWN


def of_score(score: float) -> Level:
    """The band of a base score from 0 to 10."""
    if score >= 9:
        return Level.CRITICAL
    if score >= 7:
        return Level.HIGH
    if score >= 4:
        return Level.MEDIUM
    return Level.LOW if score > 0 else Level.NEGLIGIBLE


def worst(levels: list[Level]) -> Level:
    """The highest that somebody judged; UNKNOWN when nobody did."""
    return max((level for level in levels if level is not Level.UNKNOWN), default=Level.UNKNOWN)
