"""Tokens of a text, as the tokenizer of a text encoder makes them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emoadapt.errors import ClipError, ModelError

CONDITIONAL_LIBRARIES = ("transformers",)

AFTER_PADDING = frozenset(
    {"camembert", "data2vec-text", "ibert", "longformer", "luke", "mpnet", "roberta", "roberta-prelayernorm", "xlm-roberta",
     "xlm-roberta-xl", "xmod"}
)  # fmt: skip
"""Model types that number positions from the padding's token on, so that the positions up to it hold no token."""

NO_LIMIT = 10**9
"""Tokenizers that know no longest text state a larger number."""


@dataclass(frozen=True)
class Tokens:
    """Tokens of a text.

    Args:
        ids: of all tokens, those that the tokenizer adds included.
        added: whether the tokenizer added each, such as `[CLS]`.
        note: on a text of which only the beginning was read, else None.
    """

    ids: list[int]
    added: list[bool]
    note: str | None


class Tokeniser:
    """The tokenizer in the folder of a text encoder.

    Args:
        folder: in Hugging Face format.
        user: what needs it, for messages: `features.text_tokens.model`.

    Attributes:
        longest: most tokens that the encoder can read; None: any number.

    Raises:
        ModelError: the folder has no tokenizer, no configuration, or those of two models.
    """

    def __init__(self, folder: Path, user: str) -> None:
        self.tokenizer, config = load_tokenizer(folder, user)
        self.longest = find_longest(config, self.tokenizer)

    def __call__(self, text: str) -> Tokens:
        """Tokens of a text, cut at `longest`.

        Raises:
            ClipError: it has none that the encoder knows.
        """
        found = self._split(text)
        count = len(found["input_ids"])
        note = None
        if self.longest is not None and count > self.longest:
            found = self._split(text, truncation=True, max_length=self.longest)
            note = note_truncated(self.longest, count)
        tokens = Tokens(found["input_ids"], [bool(mark) for mark in found["special_tokens_mask"]], note)
        own = {token for token, added in zip(tokens.ids, tokens.added, strict=True) if not added}
        if not own - {self.tokenizer.unk_token_id}:
            raise ClipError("no_tokens", "the tokenizer knows nothing of the text", absent=True)
        return tokens

    def locate(self, text: str, tokens: Tokens) -> list[tuple[int, int]]:
        """Place of each token in its text: first letter, and the one after its last.

        Only fast tokenizers know it. Tokens that were added have (0, 0).
        """
        found = self._split(text, truncation=True, max_length=len(tokens.ids), return_offsets_mapping=True)
        return [(int(begin), int(end)) for begin, end in found["offset_mapping"]]

    def _split(self, text: str, **options: Any) -> Any:
        return self.tokenizer(text, return_special_tokens_mask=True, verbose=False, **options)


def load_tokenizer(folder: Path, user: str) -> tuple[Any, Any]:
    """Tokenizer and configuration of a model of `transformers`.

    Raises:
        ModelError: see `Tokeniser`.
    """
    from transformers import AutoConfig, AutoTokenizer

    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, TypeError, KeyError, ImportError, AttributeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"{user}: the tokenizer in {folder} cannot be loaded ({reason}); fetch the model again"
        ) from None
    _refuse_invented(tokenizer, folder, user)
    rows = getattr(config, "vocab_size", None)
    if rows is not None and (highest := max(tokenizer.get_vocab().values())) >= rows:
        raise ModelError(
            f"{user}: the tokenizer in {folder} makes tokens up to {highest}, the model of its config.json knows {rows}; the two are "
            "not of one model: fetch both again"
        )
    return tokenizer, config


def _refuse_invented(tokenizer: Any, folder: Path, user: str) -> None:
    """Refuse a tokenizer without a vocabulary: `transformers` makes one up that knows no word.

    Raises:
        ModelError: neither `tokenizer.json` nor the files from which it can be made are there.
    """
    names = dict(tokenizer.vocab_files_names)
    whole = names.pop("tokenizer_file", "tokenizer.json")
    present = [(folder / name).is_file() for name in names.values()]
    if not (folder / whole).is_file() and not (present and all(present)):
        others = f", nor {' and '.join(names.values())}" if names else ""
        raise ModelError(f"{user}: {folder} has no {whole}{others}: it holds no tokenizer; fetch the model again")


def find_longest(config: Any, tokenizer: Any) -> int | None:
    """Most tokens of a text that positions and tokenizer allow; None: any number."""
    stated = int(tokenizer.model_max_length)
    return min(filter(None, (count_positions(config), stated if stated < NO_LIMIT else None)), default=None)


def count_positions(config: Any) -> int | None:
    """Tokens for which a model has positions; None: it has none of its own, or does not say."""
    positions = getattr(config, "max_position_embeddings", None)
    if not positions:
        return None
    taken = config.pad_token_id + 1 if config.model_type in AFTER_PADDING else 0
    return int(positions) - taken


def note_truncated(longest: int, count: int) -> str:
    """Note on a text of which only the beginning is read."""
    return f"truncated: the first {longest} of {count} tokens were read"
