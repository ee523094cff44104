"""What the demo's speakers say: two lists without a sentence in common, each with three kinds of sentiment.

All words are everyday ones, and the sentences are those of a larger pool that pocketsphinx follows best
when espeak-ng speaks them.
"""

from __future__ import annotations

from typing import Literal

Sentiment = Literal["negative", "neutral", "positive"]

SENTENCES: dict[str, dict[Sentiment, tuple[str, ...]]] = {
    "unlabelled": {
        "positive": (
            "we are so happy to see you",
            "my mother loves beautiful music",
            "she is happy with the new school",
            "the food was good and I enjoyed it",
            "I really like this nice music",
            "that is great news for everybody",
            "I am glad that you are here",
            "my friend is a very good man",
        ),
        "negative": (
            "I feel so sad and lonely",
            "that was a bad and stupid idea",
            "the pain is getting worse",
            "she was crying because of the pain",
            "the old man died alone and sad",
            "I am very angry about the lies",
            "this is wrong and very bad",
            "they killed the poor old dog",
        ),
        "neutral": (
            "the meeting starts after lunch",
            "we will meet at the station on monday",
            "my sister lives in the city",
            "the letter came on wednesday",
            "put the box under the bed",
            "I will call you in the evening",
            "the river runs through the town",
            "they moved to another street last year",
        ),
    },
    "labelled": {
        "positive": (
            "she has a beautiful smile",
            "what a wonderful day for all of us",
            "thank you for the lovely present",
            "we won and it was great",
            "you did a really great job",
            "the children love to laugh and play",
            "everything is wonderful today",
            "I feel very good this morning",
        ),
        "negative": (
            "that man is a dangerous enemy",
            "we lost the fight again",
            "he failed again and he is angry",
            "he is a liar and a thief",
            "it was a horrible and cruel joke",
            "this is the worst day of my life",
            "he is sick and very sad",
            "stop that awful noise",
        ),
        "neutral": (
            "there are two windows in the kitchen",
            "you can find it on the second floor",
            "we drove along the river",
            "the school is across the street",
            "I read the paper in the morning",
            "the phone is on the desk",
            "they walked to the market",
            "she put the book on the table",
        ),
    },
}
"""List -> sentiment -> sentences."""
