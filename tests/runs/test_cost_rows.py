"""What a run took, as rows: each number as a person reads it, and no row for what is not known."""

import msgspec
import pytest

from cscbench.asking.cost import Cost
from cscbench.runs.cost_rows import cost_rows

NOTHING = Cost(
    requests=1234, tokens_in=None, tokens_out=None, tokens_reused=None, tokens_computed=None, sessions=1, killed=0,
    wall_seconds=None, model_seconds=None, devices=None, device_seconds=None, peak_memory=None, peak_device_memory=None,
    energy_joules=None, energy_note="", amount=None, currency=None,
)  # fmt: skip


def rows(**fields) -> dict[str, str]:
    return dict(cost_rows(msgspec.structs.replace(NOTHING, **fields)))


def test_what_is_not_known_has_no_row():
    assert rows() == {"requests": "1,234"}


@pytest.mark.parametrize(
    ("fields", "name", "text"),
    [
        ({"tokens_in": 0}, "input tokens", "0"),
        ({"tokens_in": 5000, "tokens_reused": 0}, "input tokens", "5,000, of which 0 reused"),
        ({"tokens_in": 5000, "tokens_reused": 4000}, "input tokens", "5,000, of which 4,000 reused"),
        ({"tokens_out": 0, "wall_seconds": 2.0}, "output tokens", "0"),
        ({"tokens_out": 10}, "output tokens", "10"),
        ({"tokens_out": 10, "wall_seconds": 0.0}, "output tokens", "10"),
        ({"tokens_out": 5000, "wall_seconds": 4.0}, "output tokens", "5,000, 1,250.0 per second"),
        ({"wall_seconds": 0.0}, "time", "0.0 s with requests in flight"),
        ({"wall_seconds": 1234.56}, "time", "1,234.6 s with requests in flight"),
        ({"wall_seconds": 1.0, "sessions": 2}, "time", "1.0 s with requests in flight in 2 sessions"),
        (
            {"wall_seconds": 1.0, "sessions": 1, "killed": 1, "devices": 4},
            "time",
            "1.0 s with requests in flight in 1 sessions, 1 of them killed, devices: 4",
        ),
        ({"peak_memory": 999_999_999}, "peak memory", "1000 MB"),
        ({"peak_memory": 1_000_000_000}, "peak memory", "1.0 GB"),
        ({"peak_memory": 0}, "peak memory", "0 MB"),
        ({"peak_device_memory": 2_560_000_000}, "peak memory", "2.6 GB on devices"),
        ({"peak_memory": 1_500_000, "peak_device_memory": 7_000_000}, "peak memory", "2 MB, 7 MB on devices"),
        ({"amount": 0.0, "currency": "USD"}, "price", "0 USD"),
        ({"amount": 1.23456, "currency": "CNY"}, "price", "1.235 CNY"),
        ({"energy_joules": 0.0, "energy_note": "whole boards"}, "energy", "0 J (whole boards)"),
        ({"energy_joules": 12345.6, "energy_note": "whole boards"}, "energy", "12,346 J (whole boards)"),
    ],
)
def test_a_number_is_written_for_a_person(fields, name, text):
    assert rows(**fields)[name] == text
