"""From replies to statistics, from statistics to values with intervals, and tests of their differences."""
