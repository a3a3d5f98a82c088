"""What people write on disk (cards, tasks, prompts, rubrics, data), read and checked."""
