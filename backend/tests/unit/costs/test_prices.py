"""What an attempt costs: in a fixed order of sources, and unknown is never 0."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowgraph.core.calls import CallId, Place, Usage, Wish
from shadowgraph.core.money import number, plain, to_nano, to_usd
from shadowgraph.costs.ledger import Sums
from shadowgraph.costs.prices import ASSUMED_COMPLETION_TOKENS, Override, PriceBook, UnitPrices
from shadowgraph.costs.wording import describe

NOW = datetime(2026, 8, 14, tzinfo=UTC)
GROQ = ("groq", "openai/gpt-oss-120b")
USAGE = Usage(1_000, 100, cached_tokens=200)


def units(prompt: str, completion: str, **others: Any) -> UnitPrices:
    return UnitPrices(Decimal(prompt), Decimal(completion), **others)


def test_the_price_list_knows_the_default_model_and_says_what_it_reckoned_with() -> None:
    priced = PriceBook().price(*GROQ, USAGE, at=NOW)

    assert (priced.cost_nano_usd, priced.source) == (195_000, "list")
    assert priced.unit_prices == {"prompt": "0.15", "cached": "0.075", "completion": "0.6"}


@pytest.mark.parametrize("target", [("groq", "nobody-knows"), ("ollama", "gpt-4o"), ("openai_compatible", "gpt-4o")])
def test_an_unknown_price_is_unknown(target: tuple[str, str]) -> None:
    priced = PriceBook().price(*target, USAGE, at=NOW)

    assert (priced.cost_nano_usd, priced.unit_prices, priced.source) == (None, None, None)


def test_a_server_of_a_known_provider_has_its_prices() -> None:
    there = PriceBook(api_urls={"openai_compatible": "https://api.openai.com/v1"})
    here = PriceBook(api_urls={"openai_compatible": "http://localhost:11434/v1"})

    assert there.price("openai_compatible", "gpt-4o", USAGE, at=NOW).cost_nano_usd == 3_250_000
    assert here.price("openai_compatible", "gpt-4o", USAGE, at=NOW).cost_nano_usd is None


def test_what_the_provider_reports_wins_over_the_list_and_an_override_over_both() -> None:
    reported = PriceBook().price(*GROQ, USAGE, at=NOW, reported_cost=Decimal("0.5"))
    book = PriceBook([Override(*GROQ, units("1", "2"))])
    overridden = book.price(*GROQ, USAGE, at=NOW, reported_cost=Decimal("0.5"))

    assert (reported.cost_nano_usd, reported.source) == (500_000_000, "provider")
    assert (overridden.cost_nano_usd, overridden.source) == (1_200_000, "override")


@pytest.mark.parametrize(("day", "cost"), [(9, 195_000), (10, 1_000_000), (20, 2_000_000)])
def test_an_override_holds_from_its_date_until_the_next_one(day: int, cost: int) -> None:
    book = PriceBook(
        [Override(*GROQ, units(price, "0"), NOW.replace(day=begins)) for begins, price in ((20, "2"), (10, "1"))]
    )

    assert book.price(*GROQ, USAGE, at=NOW.replace(day=day)).cost_nano_usd == cost


def test_the_offline_model_costs_nothing_or_play_money_by_node() -> None:
    book = PriceBook(play_price=lambda node: Decimal("0.02") if node == "coder" else Decimal(0))
    wish = Wish(CallId("k", "h", Place("", "coder", 1, "")), 1, "somebody", "offline", "offline-demo-1", 10, None)

    assert PriceBook().price("offline", "m", USAGE, at=NOW).cost_nano_usd == 0
    assert book.estimate(wish, at=NOW).cost_nano_usd == 20_000_000
    assert book.price("offline", "m", USAGE, at=NOW, reported_cost=Decimal("0.02")).source == "synthetic"


@pytest.mark.parametrize(("limit", "tokens"), [(50, 50), (None, ASSUMED_COMPLETION_TOKENS), (0, 0)])
def test_an_estimate_takes_the_limit_of_the_answer(limit: int | None, tokens: int) -> None:
    book = PriceBook([Override("p", "m", units("0", "1"))])
    wish = Wish(CallId("k", "h"), 1, "a", "p", "m", 1, limit)

    assert book.estimate(wish, at=NOW).cost_nano_usd == tokens * 1_000


def test_long_requests_have_the_price_of_their_tier() -> None:
    priced = PriceBook().price("anthropic", "claude-sonnet-4-5", Usage(300_000, 10), at=NOW)

    assert priced.unit_prices is not None
    assert priced.unit_prices["prompt"] == "6"


@given(st.integers(0, 10**15))
def test_money_survives_the_way_to_the_wire(nano: int) -> None:
    assert to_nano(to_usd(nano)) == nano
    assert to_nano(Decimal(plain(to_usd(nano)))) == nano
    if nano < 10**15:
        assert to_nano(Decimal(json.dumps(number(to_usd(nano))))) == nano


@pytest.mark.parametrize(
    ("sums", "text"),
    [
        (Sums(), "$0"),
        (Sums(attempts=2, cost_nano_usd=12_500_000), "$0.0125"),
        (Sums(attempts=5, cost_nano_usd=12_500_000, unpriced=3), "at least $0.0125, 3 requests unpriced"),
        (Sums(attempts=1, unpriced=1), "unknown, 1 request unpriced"),
        (Sums(attempts=2, cost_nano_usd=1, estimated=1), "$0.000000001, 1 of 2 requests estimated"),
        (Sums(attempts=1, synthetic=1), "$0 (offline model)"),
        (
            Sums(attempts=2, synthetic=1, cost_nano_usd=30, synthetic_nano_usd=10),
            "$0.00000003, $0.00000001 of it play money",
        ),
    ],
)
def test_a_sum_says_how_sure_it_is(sums: Sums, text: str) -> None:
    assert describe(sums) == text
