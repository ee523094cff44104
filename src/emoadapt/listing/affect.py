"""Attributes derived from an emotion, for corpora that nobody rated.

Values are means of Russell & Mehrabian 1977, "Evidence for a three-factor theory of emotions", Journal of Research in Personality 11,
Table 4: ratings of what people feel in situations that a term describes, from -1 to 1. Arousal is theirs, valence is their pleasure.
"""

from __future__ import annotations

MEANS = {
    # term: valence, arousal, dominance (number in the table)
    "happiness": (0.81, 0.51, 0.46),  # 31, happy
    "surprise": (0.40, 0.67, -0.13),  # 52, surprised
    "disgust": (-0.60, 0.35, 0.11),  # 75, disgusted
    "anger": (-0.51, 0.59, 0.25),  # 82, angry
    "fear": (-0.64, 0.60, -0.43),  # 101, fearful
    "sadness": (-0.63, -0.27, -0.33),  # 151, sad
    # The middle of their scales, no term of the table.
    "neutral": (0.0, 0.0, 0.0),
}
"""Emotion -> valence, arousal, dominance. `calm` is no term of the table."""

NOTE = "attributes derived from it by the means of Russell & Mehrabian 1977, not rated"
"""Said wherever scores of derived attributes are shown."""


def derive_attributes(emotion: str, strength: float = 1.0) -> dict[str, float]:
    """Derive the attributes of an emotion.

    Args:
        emotion: acted, or intended.
        strength: share of the way from neutral to the published values.

    Returns:
        `arousal`, `valence` and `dominance` from -1 to 1; empty for an emotion that the table lacks.
    """
    if emotion not in MEANS:
        return {}
    valence, arousal, dominance = (strength * value for value in MEANS[emotion])
    return {"arousal": arousal, "valence": valence, "dominance": dominance}
