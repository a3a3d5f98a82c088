"""Token embeddings for BERTScore, computed by bert-score; those of references are cached on disk between runs.

A file contains the references of one chunk of turns, embedded separately from the replies: a later run reads exactly
what this one computed, so that a second run on the same data gives the same bytes.
"""

import warnings
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from cscbench.asking.files import write_set
from cscbench.content.extras import versions
from cscbench.content.shipped import cache_root
from cscbench.values import Frozen, UserError

# These affect the last bits of an embedding, as do the encoder and the texts in the same batch.
_PACKAGES = ("bert-score", "transformers", "tokenizers", "torch")


class Embedded(Frozen, frozen=True):
    """One text: (tokens, width) embeddings, and (tokens,) weights that are 0 for the special tokens at both ends."""

    tokens: Any
    weights: Any


class Encoder(Frozen, frozen=True):
    """A loaded encoder. `identity` names weights, layer and batch size: besides texts, all that values depend on."""

    model: Any
    tokenizer: Any
    identity: str
    batch_size: int

    def embed(self, texts: Sequence[str]) -> dict[str, Embedded]:
        """Embed the distinct texts, in batches of similar length; the result does not depend on their order."""
        from bert_score.utils import bert_encode, padding, sent_encode

        embedded: dict[str, Embedded] = {}
        device = next(self.model.parameters()).device
        ends = {self.tokenizer.sep_token_id, self.tokenizer.cls_token_id}
        ids = {text: sent_encode(self.tokenizer, text) for text in sorted(set(texts))}
        longest_first = sorted(ids, key=lambda text: -len(ids[text]))
        for start in range(0, len(longest_first), self.batch_size):
            batch = longest_first[start : start + self.batch_size]
            padded, lengths, mask = padding([ids[text] for text in batch], self.tokenizer.pad_token_id)
            vectors = bert_encode(self.model, padded.to(device), attention_mask=mask.to(device)).cpu()
            for text, tokens, length in zip(batch, vectors, lengths.tolist(), strict=True):
                weights = tokens.new_tensor([0.0 if token in ends else 1.0 for token in ids[text]])
                embedded[text] = Embedded(tokens[:length].clone(), weights)
        return embedded

    def embed_cached(self, texts: Sequence[str]) -> dict[str, Embedded]:
        """Return what `embed` returns, from disk if the same texts were embedded before."""
        unique = sorted(set(texts))
        packages = versions(_PACKAGES)
        key = msgspec.json.encode([self.identity, str(next(self.model.parameters()).device), packages, unique])
        path = cache_root() / "embeddings" / f"{sha256(key).hexdigest()}.safetensors"
        embedded = _read(path, unique)
        if embedded is None:
            embedded = self.embed(unique)
            _write(path, unique, embedded)
        return embedded

    def f1(self, replies: Sequence[Embedded], references: Sequence[Embedded]) -> list[float]:
        """Return the BERTScore F1 of each reply and its reference, in batches of similar length."""
        import torch
        from bert_score.utils import greedy_cos_idf
        from torch.nn.utils.rnn import pad_sequence

        device = next(self.model.parameters()).device

        def padded(texts: Sequence[Embedded]) -> tuple[Any, Any, Any]:
            # Pad with 2 like bert-score, so that no vector is all zeros; the mask excludes the padding.
            tokens = pad_sequence([text.tokens for text in texts], batch_first=True, padding_value=2.0)
            weights = pad_sequence([text.weights for text in texts], batch_first=True)
            lengths = torch.tensor([[len(text.weights)] for text in texts])
            return tokens.to(device), (torch.arange(weights.shape[1]) < lengths).to(device), weights.to(device)

        order = sorted(range(len(replies)), key=lambda row: (len(replies[row].weights), len(references[row].weights)))
        values = [0.0] * len(replies)
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            with torch.no_grad():
                _, _, f1 = greedy_cos_idf(
                    *padded([references[row] for row in rows]), *padded([replies[row] for row in rows])
                )
            for row, value in zip(rows, f1.tolist(), strict=True):
                values[row] = value
        return values


@lru_cache(maxsize=1)
def load_encoder(name: str, folder: Path, identity: str, layer: int, batch_size: int) -> Encoder:
    """Load the encoder in `folder` up to this layer, on a GPU if there is one; once per process.

    Raises:
        UserError: transformers cannot load it.
    """
    import torch
    import transformers
    from bert_score.utils import get_model, get_tokenizer
    from safetensors import SafetensorError

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        model = get_model(str(folder), layer)
        tokenizer = get_tokenizer(str(folder))
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise UserError(
            f"encoder {name}: transformers cannot load {folder}: {error}\n"
            "Choose another --encoder, or `none` to skip BERTScore"
        ) from error
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    return Encoder(model, tokenizer, f"{identity}|layer:{layer}|batch:{batch_size}", batch_size)


def _read(path: Path, texts: Sequence[str]) -> dict[str, Embedded] | None:
    """Read the embeddings of these texts from a file; None if it is missing or damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(path)
    except (OSError, SafetensorError):
        return None
    lengths = tensors["lengths"].tolist()
    parts = zip(tensors["tokens"].split(lengths), tensors["weights"].split(lengths), strict=True)
    return {text: Embedded(*part) for text, part in zip(texts, parts, strict=True)}


def _write(path: Path, texts: Sequence[str], embedded: dict[str, Embedded]) -> None:
    """Cache the embeddings. A full disk only means that a later run must compute them again."""
    import torch
    from safetensors.torch import save

    tensors = {
        "tokens": torch.cat([embedded[text].tokens for text in texts]),
        "weights": torch.cat([embedded[text].weights for text in texts]),
        "lengths": torch.tensor([len(embedded[text].weights) for text in texts]),
    }
    try:
        write_set(path.parent, {path.name: save(tensors)})
    except UserError as error:
        reason = str(error).partition("\n")[0]
        warnings.warn(f"{path.parent}: cannot cache the references' embeddings: {reason}", stacklevel=2)
