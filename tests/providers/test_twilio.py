"""The Twilio connector against a stand-in: the account in every path, addresses of next pages, numbers as codes."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from runtime import ResponseError
from tests.doubles.standins import Answer, Call, Standin

pytestmark = pytest.mark.anyio

ACCOUNT = "AC00000000000000000000000000000042"
VALUES = {"accountSid": ACCOUNT, "authToken": "canary-auth-token"}
BASE = "/2010-04-01"
MESSAGES = f"{BASE}/Accounts/{ACCOUNT}/Messages.json"


def message(number: int) -> dict[str, Any]:
    return {"sid": f"SM{number}", "status": "sent", "num_segments": "1", "price": "-0.07500", "error_code": None}


def listing(call: Call) -> Answer:
    """Five messages, as https://www.twilio.com/docs/usage/twilios-response describes pages."""
    assert call.path == MESSAGES
    size, page = int(call.params.get("PageSize", "50")), int(call.params.get("Page", "0"))
    numbers = list(range(1, 6))[page * size : (page + 1) * size]
    more = f"{MESSAGES}?PageSize={size}&Page={page + 1}&PageToken=PASM{page}" if (page + 1) * size < 5 else None
    return Answer({"messages": [message(each) for each in numbers], "next_page_uri": more, "page": page})


async def test_a_list_is_read_to_its_end_by_the_addresses_of_next_pages() -> None:
    async with Standin(listing) as twilio, twilio.runtime("twilio", VALUES, BASE) as rt:
        found = [record async for record in rt.records("twilio", "messages.list", {"PageSize": 2})]
    assert [record["sid"] for record in found] == ["SM1", "SM2", "SM3", "SM4", "SM5"]
    assert found[0]["price"] == -0.075
    assert [call.params.get("PageToken") for call in twilio.calls] == [None, "PASM0", "PASM1"]
    expected = base64.b64encode(f"{ACCOUNT}:canary-auth-token".encode()).decode()
    assert {call.headers["authorization"] for call in twilio.calls} == {f"Basic {expected}"}


async def test_the_account_of_the_connection_is_in_the_path_and_masked_where_the_request_is_shown() -> None:
    async with Standin(lambda _: Answer(message(1), 201)) as twilio, twilio.runtime("twilio", VALUES, BASE) as rt:
        inputs = {"to": "+491700000001", "from": "+4940000001", "body": "Äh & so", "mediaUrl": ["https://a.example/1"]}
        result = await rt.call("twilio", "messages.create", inputs)
    assert twilio.calls[0].path == MESSAGES
    form = {"To": "+491700000001", "From": "+4940000001", "Body": "Äh & so", "MediaUrl": "https://a.example/1"}
    assert twilio.calls[0].form == form
    assert result.request is not None
    assert ACCOUNT not in repr(result.request)


async def test_twilios_sentence_comes_first_and_its_number_is_the_code() -> None:
    said = {
        "code": 21211,
        "message": "Invalid 'To' Phone Number: 12",
        "more_info": "https://example.com",
        "status": 400,
    }
    async with Standin(lambda _: Answer(said, 400)) as twilio, twilio.runtime("twilio", VALUES, BASE) as rt:
        with pytest.raises(ResponseError) as caught:
            await rt.call("twilio", "messages.create", {"to": "12", "from": "+4940000001", "body": "x"})
    assert caught.value.message == "Invalid 'To' Phone Number: 12 (twilio messages.create answered 400)"
    assert caught.value.provider_code == "21211"


async def test_a_message_that_was_answered_with_a_500_is_not_sent_twice() -> None:
    said = Answer({"code": 20500, "message": "Internal server error", "status": 500}, 500)
    async with Standin(lambda _: said) as twilio, twilio.runtime("twilio", VALUES, BASE) as rt:
        with pytest.raises(ResponseError, match="Internal server error"):
            await rt.call("twilio", "messages.create", {"to": "+49", "from": "+49", "body": "x"})
        assert len(twilio.calls) == 1
        with pytest.raises(ResponseError, match="Internal server error"):
            await rt.call("twilio", "messages.redact", {"messageSid": "SM1"})
    assert [call.form for call in twilio.calls[1:]] == [{"Body": ""}] * 4
