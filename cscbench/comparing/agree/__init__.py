"""Compare the replies of two runs: where they first diverge, and how that changes each metric."""
