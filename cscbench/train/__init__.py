"""Fine-tuning: dialogues to LoRA weights, in the very shape in which `cscbench run` asks.

options.py    the recipe, and what else the command line gives
plan.py       what to train on what, resolved, and what identifies it
sequences.py  dialogues to token ids, and which of them the loss looks at
tune.py       peft and transformers' Trainer (imports torch)
folder.py     OUT: settings and checkpoints while it lasts, weights and training.json at the end
train.py      the line through them
show.py       what the terminal shows
"""
