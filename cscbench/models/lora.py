"""LoRA folders, as peft writes them."""

from cscbench.content.hashes import digest, file_sha256
from cscbench.content.shipped import expanded
from cscbench.values import ModelCard, UserError

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def lora_sha256(card: ModelCard) -> str:
    """Return the sha256 over the two files of a card's LoRA folder that are loaded; other files do not count.

    Raises:
        UserError: the folder lacks one of them, or has its weights as a pickle.
    """
    folder = expanded(card.lora)
    for file in (CONFIG, WEIGHTS):
        if not (folder / file).is_file():
            pickled = (folder / "adapter_model.bin").is_file()
            hint = "; adapter_model.bin is a pickle and is never loaded: save it as safetensors" if pickled else ""
            raise UserError(f"{card.name}: no LoRA weights at {folder}: looked for {folder / file}{hint}")
    return digest({file: file_sha256(folder / file) for file in (CONFIG, WEIGHTS)})
