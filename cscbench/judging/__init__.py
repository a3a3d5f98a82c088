"""LLM judges: what they are asked to rate, what they gave, and whether they are fit."""
