"""Fine-tuning: dialogues to LoRA weights, with exactly the prompts that `cscbench run` sends.

options.py          the recipe, and the other options of the command line
plan.py             the resolved training: model, data, prompts; its identity
sequences.py        dialogues to token ids, and which of them count in the loss
tune.py             peft and transformers' Trainer (imports torch)
training_folder.py  OUT: settings and checkpoints during training, weights and training.json at the end
train.py            one training from plan to weights
"""
