"""Sums of money in words that say how sure they are."""

from shadowgraph.core.money import plain, to_usd
from shadowgraph.costs.ledger import Sums


def describe(sums: Sums) -> str:
    """Such as `$0.0125`, or `at least $0.0125, 3 requests unpriced`."""
    cost = f"${plain(to_usd(sums.cost_nano_usd))}"
    unpriced = f"{sums.unpriced} request{'' if sums.unpriced == 1 else 's'} unpriced"
    match sums.cost_state:
        case "unknown":
            return f"unknown, {unpriced}"
        case "partial":
            return f"at least {cost}, {unpriced}{_play_money(sums)}"
        case "synthetic":
            return (
                f"{cost}, all of it play money of the offline model"
                if sums.cost_nano_usd
                else f"{cost} (offline model)"
            )
        case "estimated":
            return f"{cost}, {sums.estimated} of {sums.ended} requests estimated{_play_money(sums)}"
        case "exact":
            return f"{cost}{_play_money(sums)}"


def _play_money(sums: Sums) -> str:
    return f", ${plain(to_usd(sums.synthetic_nano_usd))} of it play money" if sums.synthetic_nano_usd else ""
