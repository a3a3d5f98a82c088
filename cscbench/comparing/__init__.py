"""Compare finished runs with each other and check them against rules."""
