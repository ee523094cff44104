"""The built-in demo corpus: generated offline, deterministic in a seed, with something true to find in every stage.

* **Speech** is espeak-ng's, in sixteen voices. Rate, pitch, pitch range, level and brightness follow the emotion,
  with so much spread that the classes overlap: with 48 clips to learn from, a linear classifier of
  time-averaged eGeMAPS descriptors reaches a macro-F1 of about .6 on voices that it never heard.
* **Text**: seven sentences of ten carry the sentiment that goes with the emotion. pocketsphinx gets half to three
  quarters of the words, enough for VADER to tell the three sentiments apart in most clips.
* **Face**: a portrait whose mouth opens with the loudness and whose mouth corners, brows and lids follow the
  emotion; tint, stretch, mirroring and small changes of shape make one person of each voice. OpenCV's Haar
  cascade finds it.

It is a toy: it shows that a study runs and that each stage finds what was put in, nothing about real speech.

Licences of what it is made from: the portrait is NASA's official photograph of the astronaut Eileen Collins
(public domain), carried by scikit-image's wheel as `skimage.data.astronaut`. espeak-ng (GPL-3.0-or-later)
is a separate package, `espeakng-loader`, which is loaded at run time and of which nothing is copied here;
the speech that it produces is not covered by its licence.
"""

from emoadapt.demo.clips import make_corpus, read_stamp
from emoadapt.demo.plan import EMOTIONS, VOICES, PlannedClip, digest_plan, name_media, plan_clips

__all__ = ["EMOTIONS", "VOICES", "PlannedClip", "digest_plan", "make_corpus", "name_media", "plan_clips", "read_stamp"]
