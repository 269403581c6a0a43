"""The Stripe connector against a stand-in: lists by the last ID, keys for repetitions, errors in Stripe's shape."""

from __future__ import annotations

from typing import Any

import pytest

from runtime import RateLimited, ResponseError
from tests.doubles.standins import Answer, Call, Standin

pytestmark = pytest.mark.anyio

KEY = "sk_test_canary_51"
PAYMENT = {"amount": 18000, "currency": "eur", "customer": "cus_1"}


def customer(number: int) -> dict[str, Any]:
    return {"id": f"cus_{number}", "object": "customer", "email": f"{number}@example.com", "metadata": {}}


def listing(call: Call) -> Answer:
    """Seven customers, the newest first, as https://docs.stripe.com/api/pagination says."""
    numbers = list(range(7, 0, -1))
    after = call.params.get("starting_after")
    rest = numbers if after is None else numbers[numbers.index(int(after.removeprefix("cus_"))) + 1 :]
    page = rest[: int(call.params.get("limit", "10"))]
    data = [customer(number) for number in page]
    return Answer({"object": "list", "url": "/v1/customers", "has_more": len(rest) > len(page), "data": data})


def failure(status: int, kind: str, message: str, code: str | None = None, **more: Any) -> Answer:
    said = {"type": kind, "message": message, **({"code": code} if code else {}), **more}
    return Answer({"error": said}, status, {"request-id": "req_1"})


async def test_a_list_is_read_to_its_end_by_the_id_of_the_last_customer() -> None:
    async with Standin(listing) as stripe, stripe.runtime("stripe", {"apiKey": KEY}, "/v1") as rt:
        records = [record["id"] async for record in rt.records("stripe", "customers.list", {"limit": 3})]
    assert [f"cus_{number}" for number in range(7, 0, -1)] == records
    assert [call.params.get("starting_after") for call in stripe.calls] == [None, "cus_5", "cus_2"]
    assert {"3"} == {call.params["limit"] for call in stripe.calls}
    assert {f"Bearer {KEY}"} == {call.headers["authorization"] for call in stripe.calls}


async def test_one_page_says_that_there_is_more() -> None:
    async with Standin(listing) as stripe, stripe.runtime("stripe", {"apiKey": KEY}, "/v1") as rt:
        assert (await rt.call("stripe", "customers.list", {"limit": 3})).truncated
        assert not (await rt.call("stripe", "customers.list", {"limit": 10})).truncated


async def test_every_attempt_of_one_payment_has_the_same_idempotency_key_and_the_next_payment_another() -> None:
    answers = iter([failure(500, "api_error", "Something went wrong on our end.")])

    def answer(call: Call) -> Answer:
        return next(answers, Answer({"id": "pi_1", "object": "payment_intent", "status": "succeeded"}))

    async with Standin(answer) as stripe, stripe.runtime("stripe", {"apiKey": KEY}, "/v1") as rt:
        first = await rt.call("stripe", "payment-intents.create", PAYMENT)
        await rt.call("stripe", "payment-intents.create", PAYMENT)
    keys = [call.headers["idempotency-key"] for call in stripe.calls]
    assert (first.attempts, (first.fields or {})["status"]) == (2, "succeeded")
    assert keys[0] == keys[1] != keys[2]
    assert [call.form for call in stripe.calls] == [{"amount": "18000", "currency": "eur", "customer": "cus_1"}] * 3


async def test_a_declined_card_is_stripes_sentence_first_and_is_not_tried_again() -> None:
    declined = failure(402, "card_error", "Your card was declined.", "card_declined", decline_code="generic_decline")
    async with Standin(lambda _: declined) as stripe, stripe.runtime("stripe", {"apiKey": KEY}, "/v1") as rt:
        with pytest.raises(ResponseError) as caught:
            await rt.call("stripe", "payment-intents.confirm", {"paymentIntentId": "pi_1"})
    assert caught.value.message == "Your card was declined. (stripe payment-intents.confirm answered 402)"
    assert caught.value.hint == "the inputs were good, but the payment was declined"
    assert (caught.value.provider_code, caught.value.status) == ("card_declined", 402)
    assert len(stripe.calls) == 1


async def test_T53_a_key_that_stripe_repeats_is_masked() -> None:
    refused = failure(401, "invalid_request_error", f"Invalid API Key provided: {KEY}")
    async with Standin(lambda _: refused) as stripe, stripe.runtime("stripe", {"apiKey": KEY}, "/v1") as rt:
        with pytest.raises(ResponseError) as caught:
            await rt.call("stripe", "customers.read", {"customerId": "cus_1"})
    assert caught.value.message == "Invalid API Key provided: *** (stripe customers.read answered 401)"
    assert KEY not in repr(caught.value.result)


async def test_too_many_calls_are_slowed_down_until_they_are_given_up() -> None:
    busy = failure(429, "invalid_request_error", "Request rate limit exceeded.", "rate_limit")
    async with Standin(lambda _: busy) as stripe, stripe.runtime("stripe", {"apiKey": KEY}, "/v1") as rt:
        with pytest.raises(RateLimited) as caught:
            await rt.call("stripe", "refunds.create", {"paymentIntent": "pi_1"})
    assert (caught.value.provider_code, caught.value.retry_after) == ("rate_limit", None)
    assert (len(stripe.calls), len(stripe.waits)) == (4, 3)
    assert len({call.headers["idempotency-key"] for call in stripe.calls}) == 1
