"""The model card that goes with every model folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emoadapt.models.registry import list_weights


def write_card(folder: Path, facts: Mapping[str, Any], *, origin: str, trained: bool) -> None:
    """Write `README.md`.

    Args:
        folder: model folder.
        facts: name -> value or list of values, shown as a table; `title` is the heading, `classes` those of a classifier.
        origin: where the starting weights come from.
        trained: False when they were random.
    """
    title = facts.get("title", folder.name)
    # Only a hub id is a `base_model` that others can look up.
    base = [f"base_model: {origin}"] if trained and origin.count("/") == 1 else []
    rows = [f"| {name} | {_show(value)} |" for name, value in facts.items() if name != "title"]
    start = f"`{origin}` (pretrained)" if trained else f"{origin}: **not pretrained**"
    known = list_weights().get(origin)
    licence = f"Licence of `{origin}`: {known.licence}. " if trained and known else ""
    lines = [
        "---",
        "library_name: transformers",
        # Also with a head of ours beside it: a pipeline for classification would invent one of its own, untrained.
        "pipeline_tag: feature-extraction",
        "license: other",
        *base,
        "tags: [speech-emotion-recognition, emoadapt]",
        "---",
        f"# {title}",
        "",
        "| | |",
        "|---|---|",
        f"| starting weights | {start} |",
        *rows,
        "",
        "Input: mono audio at 16 kHz. The embedding of an utterance is the mean of the last layer over time.",
        *(["`head.safetensors` leads from it to the logits of `classes.json`."] if "classes" in facts else []),
        "",
        "```python",
        "from transformers import AutoFeatureExtractor, AutoModel",
        "",
        'extract, model = AutoFeatureExtractor.from_pretrained("."), AutoModel.from_pretrained(".").eval()',
        'embedding = model(**extract(audio, sampling_rate=16_000, return_tensors="pt")).last_hidden_state.mean(1)',
        "```",
        "",
        "Encode one clip at a time: padding changes what `transformers` returns for some of these architectures.",
        "",
        "## Licence",
        "",
        f"{licence}The licences of the starting weights and of the corpora apply to this model; many emotion corpora allow research only.",
        "",
    ]
    (folder / "README.md").write_text("\n".join(lines), encoding="utf-8")


def _show(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {item}" for name, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(str(item) for item in value)
    return str(value)
