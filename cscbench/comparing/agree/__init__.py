"""Two runs of the same turns: where their texts part, and what that does to each metric."""
