# Lookups that several rules share. What they answer is decided in emoadapt.dag.
STUDY = graph.study


wildcard_constraints:
    corpus="|".join(STUDY.corpora),
    shard=r"\d{3}",
    task="|".join(STUDY.tasks) or "none",
    backbone="|".join([*STUDY.backbones, "handcrafted"]),
    adaptation="|".join(STUDY.adaptations) or "none",
    start="|".join(["original", "egemaps", *STUDY.adaptations]),
    subset=r"\d+|full",
    batch=r"b\d{3}",


def media_of_corpus(wildcards):
    return ancient(graph.media_ready(wildcards.corpus))


def recipe_of(feature):
    return graph.recipe(feature)


def code_of(*modules):
    return graph.code(*modules)
