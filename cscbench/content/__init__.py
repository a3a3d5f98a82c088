"""Read and check the files that people write: cards, tasks, prompts, rubrics, data."""
