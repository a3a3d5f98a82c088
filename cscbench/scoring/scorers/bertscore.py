"""BERTScore with the bert-score package, and an encoder from a card or a folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from cscbench.asking.progress import progress
from cscbench.content.cards import read_options
from cscbench.content.extras import require_extra, versions
from cscbench.models.weights import fetch, identify
from cscbench.scoring.bootstrap import Matrix
from cscbench.scoring.scorer import MetricSpec, ScoringContext, ratio
from cscbench.scoring.scorers.embeddings import load_encoder
from cscbench.values import Frozen, Language, ModelCard, ScoredPair, UserError

# Turns whose references share a cache file, and that are one step of the progress bar.
_CHUNK = 512


class EncoderOptions(Frozen, frozen=True):
    """`options` of an encoder's card. `layer` 0 selects the last one; `batch_size` counts sentences."""

    layer: int = 0
    batch_size: int = 32


class BertScoreMean:
    """The mean of stored BERTScore F1 values, which needs no encoder."""

    columns = ("f1", "turns")

    def __init__(self, context: ScoringContext, columns: tuple[str, ...] = columns, signature: str = "") -> None:
        """Create the metric; without a signature, for a run whose results record it."""
        self.metrics = (MetricSpec("bertscore_f1", signature),)

    def summarise(self, sums: Matrix) -> Matrix:
        """Return (n, 1): F1 on a 0-100 scale."""
        return ratio(sums[:, :1], sums[:, 1:])


class BertScorer(BertScoreMean):
    """Mean over turns of BERTScore F1 (Zhang et al. 2020), not rescaled, without idf weights.

    bert-score 0.3.13 fails on empty text with transformers 5: an empty reply scores 0 here.
    """

    reducer = BertScoreMean

    def __init__(self, context: ScoringContext) -> None:
        require_extra("scores", ["bert_score", "torch", "transformers"], "BERTScore")
        if context.encoder is None:
            raise UserError("BERTScore needs an encoder: add --encoder CARD|PATH")
        self._card = context.encoder
        _check_languages(self._card, context.languages)
        self._options = read_options(self._card, EncoderOptions)
        self._folder = fetch(f"encoder {self._card.name}", self._card.weights, self._card.revision)
        self._layer = _layer(self._folder, self._options.layer)
        _check_weights(self._folder)
        self._identity = identify(self._card.name, self._card.weights, self._card.revision)
        # A Hub id already ends in its commit; of a content hash the first digits are enough.
        identity = self._identity.rpartition("@")[2][:12]
        packages = versions(["bert-score", "transformers"])
        signature = (
            f"enc:{self._card.name}@{identity}|layer:{self._layer}|idf:no|rescale:no|level:turn|"
            f"bert-score:{packages['bert-score']}|transformers:{packages['transformers']}"
        )
        super().__init__(context, signature=signature)

    def measure(self, pairs: Sequence[ScoredPair]) -> Matrix:
        """Return (turns, 2): F1 in 0-1, and 1."""
        import numpy as np

        rows = np.zeros((len(pairs), 2))
        rows[:, 1] = 1
        if not any(pair.text.strip() for pair in pairs):
            return rows
        encoder = load_encoder(self._card.name, self._folder, self._identity, self._layer, self._options.batch_size)
        with progress(f"BERTScore ({self._card.name})", len(pairs)) as bar:
            for start in range(0, len(pairs), _CHUNK):
                chunk = pairs[start : start + _CHUNK]
                filled = [row for row, pair in enumerate(chunk) if pair.text.strip()]
                references = encoder.embed_cached([pair.reference for pair in chunk])
                replies = encoder.embed([chunk[row].text for row in filled])
                rows[[start + row for row in filled], 0] = encoder.f1(
                    [replies[chunk[row].text] for row in filled], [references[chunk[row].reference] for row in filled]
                )
                bar.step(len(chunk))
        return rows


def _check_languages(card: ModelCard, languages: Sequence[Language]) -> None:
    unsupported = [language.value for language in languages if card.languages and language not in card.languages]
    if unsupported:
        raise UserError(
            f"encoder {card.name} does not support {', '.join(unsupported)} (its card lists "
            f"{', '.join(card.languages)}): choose another --encoder, or restrict the run with --language"
        )


def _check_weights(folder: Path) -> None:
    """Fail before a model runs for hours; without safetensors, bert-score would load a pickle."""
    if not any(folder.glob("*.safetensors")):
        raise UserError(
            f"encoder {folder}: no weights: looked for {folder / '*.safetensors'} (pickles are never loaded)"
        )


def _layer(folder: Path, requested: int) -> int:
    try:
        config: Mapping[str, Any] = msgspec.json.decode((folder / "config.json").read_bytes())
        layers = int(config["num_hidden_layers"])
    except (OSError, msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"encoder {folder}: its config.json has no valid num_hidden_layers: {error}") from None
    if not 0 <= requested <= layers:
        raise UserError(f"encoder {folder}: `options.layer` is {requested}: choose a layer from 1 to {layers}")
    return requested or layers
