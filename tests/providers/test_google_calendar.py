"""The Google Calendar connector against a stand-in that gives tokens for signed assertions, and events for tokens."""

from __future__ import annotations

import json
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from runtime import ResponseError, Runtime
from tests.doubles.standins import Answer, Call, Standin

pytestmark = pytest.mark.anyio

KEY = RSAKey.generate_key(2048)
BASE = "/calendar/v3"
EVENTS = f"{BASE}/calendars/primary/events"
PAGES = ({"items": [{"id": "a"}, {"id": "b"}], "nextPageToken": "p1"}, {"items": [{"id": "c"}], "nextSyncToken": "s1"})


class Google:
    """https://developers.google.com/identity/protocols/oauth2/service-account, and a calendar behind it."""

    def __init__(self) -> None:
        self.claims: list[dict[str, Any]] = []
        self.tokens: list[str] = []
        self.writes: list[Any] = []

    def __call__(self, call: Call) -> Answer:
        if call.path == "/token":
            form = call.form
            assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
            self.claims.append(dict(jwt.decode(form["assertion"], KEY).claims))
            self.tokens.append(f"ya29.canary-{len(self.tokens)}")
            return Answer({"access_token": self.tokens[-1], "expires_in": 3599, "token_type": "Bearer"})
        if not self.tokens or call.headers.get("authorization") != f"Bearer {self.tokens[-1]}":
            return failure(401, "authError", "Invalid Credentials")
        if call.method == "PATCH":
            self.writes.append(call.json)
            return Answer({"id": "a", **call.json})
        if call.params.get("syncToken") == "ended":
            return failure(410, "fullSyncRequired", "Sync token is no longer valid, a full sync is required.")
        return Answer(PAGES[call.params.get("pageToken") == "p1"])


def failure(status: int, reason: str, message: str) -> Answer:
    errors = [{"domain": "calendar", "reason": reason, "message": message}]
    return Answer({"error": {"code": status, "message": message, "errors": errors}}, status)


def runtime(server: Standin, **more: str) -> Runtime:
    account = {
        "type": "service_account",
        "client_email": "robot@example.iam.gserviceaccount.com",
        "private_key": KEY.as_pem(private=True).decode(),
        "private_key_id": "k1",
        "token_uri": f"{server.origin}/token",
    }
    return server.runtime("google-calendar", {"serviceAccountJSON": json.dumps(account), **more}, BASE)


async def test_one_token_is_obtained_for_all_pages_in_the_name_of_a_user() -> None:
    google = Google()
    async with Standin(google) as server, runtime(server, dwdSubject="ann@example.com") as rt:
        found = [record["id"] async for record in rt.records("google-calendar", "events.list", {"singleEvents": True})]
    assert found == ["a", "b", "c"]
    assert len(google.claims) == 1
    claims = google.claims[0]
    assert (claims["iss"], claims["sub"]) == ("robot@example.iam.gserviceaccount.com", "ann@example.com")
    assert (claims["scope"], claims["aud"]) == (
        "https://www.googleapis.com/auth/calendar",
        f"{server.origin}/token",
    )
    assert [call.path for call in server.calls] == ["/token", EVENTS, EVENTS]
    assert server.calls[2].params == {"singleEvents": "true", "pageToken": "p1"}


async def test_a_token_that_is_refused_is_renewed_once() -> None:
    google = Google()
    async with Standin(google) as server, runtime(server) as rt:
        await rt.call("google-calendar", "events.list", {})
        google.tokens.append("ya29.another")
        result = await rt.call("google-calendar", "events.list", {})
    assert (result.ok, len(google.claims)) == (True, 2)
    assert "sub" not in google.claims[0] or google.claims[0]["sub"] == google.claims[0]["iss"]


async def test_changes_are_read_since_a_sync_token_and_say_where_to_go_on() -> None:
    async with Standin(Google()) as server, runtime(server) as rt:
        first = await rt.call("google-calendar", "events.changes", {"syncToken": "s0"})
        assert (first.fields or {})["next_page_token"] == "p1"
        second = await rt.call("google-calendar", "events.changes", {"syncToken": "s0", "pageToken": "p1"})
        assert ((second.fields or {})["items"], (second.fields or {})["next_sync_token"]) == ([{"id": "c"}], "s1")
        with pytest.raises(ResponseError) as caught:
            await rt.call("google-calendar", "events.changes", {"syncToken": "ended"})
    words = "Sync token is no longer valid, a full sync is required."
    assert caught.value.message == f"{words} (google-calendar events.changes answered 410)"
    assert (caught.value.provider_code, caught.value.status) == ("fullSyncRequired", 410)
    assert caught.value.hint.startswith("the sync token has ended")


async def test_a_patch_sends_what_is_given_and_no_empty_times() -> None:
    google = Google()
    async with Standin(google) as server, runtime(server) as rt:
        await rt.call("google-calendar", "events.update", {"eventId": "a", "summary": "Tug, late"})
        inputs = {"eventId": "a", "startDateTime": "2026-01-31T09:00:00+01:00", "timeZone": "Europe/Berlin"}
        await rt.call("google-calendar", "events.update", {**inputs, "calendarId": "bo@example.com"})
    assert google.writes == [
        {"summary": "Tug, late"},
        {"start": {"dateTime": "2026-01-31T09:00:00+01:00", "timeZone": "Europe/Berlin"}},
    ]
    assert server.calls[-1].path == f"{BASE}/calendars/bo%40example.com/events/a"
