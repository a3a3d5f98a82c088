"""Boards: published results, ranked with their noise, and the static site that shows them."""
