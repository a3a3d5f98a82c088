"""Replies to statistics, statistics to values with intervals, and the tests of their differences."""
