"""Finished runs as reports, boards, sites and other tools' files."""
