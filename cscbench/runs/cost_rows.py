"""The cost of a run as rows of text."""

from cscbench.asking.cost import Cost


def cost_rows(cost: Cost) -> list[tuple[str, str]]:
    """Return a row for each known part of a run's cost."""
    rows = [("requests", f"{cost.requests:,}")]
    if cost.tokens_in is not None:
        reused = "" if cost.tokens_reused is None else f", of which {cost.tokens_reused:,} reused"
        rows.append(("input tokens", f"{cost.tokens_in:,}{reused}"))
    if cost.tokens_out is not None:
        rate = f", {speed(cost)} per second" if speed(cost) else ""
        rows.append(("output tokens", f"{cost.tokens_out:,}{rate}"))
    if cost.wall_seconds is not None:
        killed = f", {cost.killed} of them killed" if cost.killed else ""
        sessions = f" in {cost.sessions} sessions{killed}" if cost.sessions > 1 or killed else ""
        devices = f", devices: {cost.devices}" if cost.devices else ""
        rows.append(("time", f"{cost.wall_seconds:,.1f} s with requests in flight{sessions}{devices}"))
    if memory(cost):
        rows.append(("peak memory", memory(cost)))
    if cost.amount is not None:
        rows.append(("price", amount(cost)))
    if cost.energy_joules is not None:
        rows.append(("energy", f"{cost.energy_joules:,.0f} J ({cost.energy_note})"))
    return rows


def speed(cost: Cost) -> str:
    return f"{cost.tokens_out / cost.wall_seconds:,.1f}" if cost.tokens_out and cost.wall_seconds else ""


def memory(cost: Cost) -> str:
    sizes = ((cost.peak_memory, ""), (cost.peak_device_memory, " on devices"))
    return ", ".join(f"{_size(size)}{where}" for size, where in sizes if size is not None)


def amount(cost: Cost) -> str:
    return "" if cost.amount is None else f"{cost.amount:.4g} {cost.currency}"


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
