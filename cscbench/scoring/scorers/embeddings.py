"""Token embeddings for BERTScore, as bert-score makes them; those of references are kept on disk between runs.

A file holds the references of one chunk of turns, embedded by themselves: what a later run reads is what this one made,
so the first and the second run on the same data give the same bytes.
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

# What else decides an embedding's last bit, beside the encoder and the texts that share its batch.
_PACKAGES = ("bert-score", "transformers", "tokenizers", "torch")


class Embedded(Frozen, frozen=True):
    """One text: (tokens, width) embeddings, and (tokens,) weights that are 0 for the marks at both ends."""

    tokens: Any
    weights: Any


class Encoder(Frozen, frozen=True):
    """A loaded encoder. `identity` names weights, layer and batch size: with the texts, all that values depend on."""

    model: Any
    tokenizer: Any
    identity: str
    batch_size: int

    def embed(self, texts: Sequence[str]) -> dict[str, Embedded]:
        """Embeddings of different texts, in batches of texts of like length; nothing depends on their order."""
        from bert_score.utils import bert_encode, padding, sent_encode

        found: dict[str, Embedded] = {}
        device = next(self.model.parameters()).device
        ends = {self.tokenizer.sep_token_id, self.tokenizer.cls_token_id}
        ids = {text: sent_encode(self.tokenizer, text) for text in sorted(set(texts))}
        longest_first = sorted(ids, key=lambda text: -len(ids[text]))
        for start in range(0, len(longest_first), self.batch_size):
            batch = longest_first[start : start + self.batch_size]
            padded, lengths, mask = padding([ids[text] for text in batch], self.tokenizer.pad_token_id)
            vectors = bert_encode(self.model, padded.to(device), attention_mask=mask.to(device)).cpu()
            for text, own, length in zip(batch, vectors, lengths.tolist(), strict=True):
                weights = own.new_tensor([0.0 if token in ends else 1.0 for token in ids[text]])
                found[text] = Embedded(own[:length].clone(), weights)
        return found

    def embed_kept(self, texts: Sequence[str]) -> dict[str, Embedded]:
        """As `embed`, from disk where the same texts were embedded before."""
        unique = sorted(set(texts))
        known = versions(_PACKAGES)
        key = msgspec.json.encode([self.identity, str(next(self.model.parameters()).device), known, unique])
        path = cache_root() / "embeddings" / f"{sha256(key).hexdigest()}.safetensors"
        found = _read(path, unique)
        if found is None:
            found = self.embed(unique)
            _write(path, unique, found)
        return found

    def f1(self, said: Sequence[Embedded], references: Sequence[Embedded]) -> list[float]:
        """BERTScore F1 of each reply against its reference, matched by bert-score in batches of like length."""
        import torch
        from bert_score.utils import greedy_cos_idf
        from torch.nn.utils.rnn import pad_sequence

        device = next(self.model.parameters()).device

        def padded(texts: Sequence[Embedded]) -> tuple[Any, Any, Any]:
            # 2 as bert-score pads: no vector of zeros to divide by; the mask takes it out.
            tokens = pad_sequence([text.tokens for text in texts], batch_first=True, padding_value=2.0)
            weights = pad_sequence([text.weights for text in texts], batch_first=True)
            lengths = torch.tensor([[len(text.weights)] for text in texts])
            return tokens.to(device), (torch.arange(weights.shape[1]) < lengths).to(device), weights.to(device)

        order = sorted(range(len(said)), key=lambda row: (len(said[row].weights), len(references[row].weights)))
        values = [0.0] * len(said)
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            with torch.no_grad():
                _, _, found = greedy_cos_idf(
                    *padded([references[row] for row in rows]), *padded([said[row] for row in rows])
                )
            for row, value in zip(rows, found.tolist(), strict=True):
                values[row] = value
        return values


@lru_cache(maxsize=1)
def load_encoder(name: str, folder: Path, identity: str, layer: int, batch_size: int) -> Encoder:
    """The encoder in `folder` up to that layer, on a GPU where there is one; loaded once in a process.

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
            "give another --encoder, or `none` to leave BERTScore out"
        ) from error
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    return Encoder(model, tokenizer, f"{identity}|layer:{layer}|batch:{batch_size}", batch_size)


def _read(path: Path, texts: Sequence[str]) -> dict[str, Embedded] | None:
    """What a file holds for these texts; None where there is none, or it is torn."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        held = load_file(path)
    except (OSError, SafetensorError):
        return None
    lengths = held["lengths"].tolist()
    parts = zip(held["tokens"].split(lengths), held["weights"].split(lengths), strict=True)
    return {text: Embedded(*part) for text, part in zip(texts, parts, strict=True)}


def _write(path: Path, texts: Sequence[str], found: dict[str, Embedded]) -> None:
    """Keep the embeddings. A disk that is full costs time later, and nothing now."""
    import torch
    from safetensors.torch import save

    held = {
        "tokens": torch.cat([found[text].tokens for text in texts]),
        "weights": torch.cat([found[text].weights for text in texts]),
        "lengths": torch.tensor([len(found[text].weights) for text in texts]),
    }
    try:
        write_set(path.parent, {path.name: save(held)})
    except UserError as error:
        reason = str(error).partition("\n")[0]
        warnings.warn(f"{path.parent}: embeddings of the references are not kept: {reason}", stacklevel=2)
