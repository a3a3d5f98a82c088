"""LLM judges: the items they rate, their ratings, and whether they are fit."""
