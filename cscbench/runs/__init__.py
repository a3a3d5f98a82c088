"""One run, from its options to results.json, and the reader of finished runs."""
