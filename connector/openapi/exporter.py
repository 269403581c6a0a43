"""Writes a connector as an OpenAPI 3.1 document: paths, inputs, fields, security, webhooks.

The plain part is correct by itself: it describes the very requests that the runtime sends. What OpenAPI has no words
for (names of inputs, body templates, selectors, pagination, custom operations) is in `x-connector`, in the words of the
definition, and `from_openapi` reads it back.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from connector.auth.methods import BasicAuth, GrantAuth
from connector.describe.schemas import answer_schema, body_schema, input_schema, payload_schema
from connector.model.definition import Connector, Operation
from connector.model.service import Service
from connector.openapi.names import is_placeholder
from connector.openapi.requests import NO_PARAMETERS
from connector.protocols import Auth
from connector.templates import Placeholder, QueryPair, Slot, Template
from connector.types import to_text

#: Members of an operation for which OpenAPI has no words.
_OWN = (
    *("headers", "form", "idempotent", "pagination", "records", "response", "fields", "rateLimit", "retry", "errors"),
    "meta",
)
_MEDIA_TYPES = {
    "json": "application/json",
    "text": "text/plain",
    "xml": "application/xml",
    "binary": "application/octet-stream",
    "sse": "text/event-stream",
    "ndjson": "application/x-ndjson",
    "any": "*/*",
}
_NOWHERE = "https://provider.invalid"
_PLAIN_TYPES = frozenset({"String", "Integer", "Number", "Boolean", "Array", "Object", "Any", "Date", "DateTime"})


def to_openapi(connector: Connector, definition: Mapping[str, Any]) -> dict[str, Any]:
    """The document. `definition` is the whole connector as JSON, as `merge_documents` returns it.

    The same connector always makes the same document. Operations that share path and method are distinguished by a
    fragment of the path (`/chat#stream`), which is not part of the request.
    """
    return _Export(connector, definition).write()


@dataclass(frozen=True, slots=True)
class _Export:
    """One connector being written."""

    connector: Connector
    definition: Mapping[str, Any]
    paths: dict[str, dict[str, Any]] = field(default_factory=dict)

    def write(self) -> dict[str, Any]:
        connector = self.connector
        resources = list(_named(self.definition.get("resources"), "handle"))
        for handle, resource in resources:
            for name, source in _named(resource.get("operations"), "handle", "name"):
                self._add(connector.operations[f"{handle}.{name}"], resource, source)
        schemes, security = _security(connector.service)
        document: dict[str, Any] = {
            "openapi": "3.1.0",
            "info": {
                "title": connector.short or connector.handle,
                "version": "1",
                **_given(description=connector.description),
            },
            "servers": [_server(connector.service)],
            "tags": [_tag(handle, resource) for handle, resource in resources],
            "paths": self.paths,
            **_given(webhooks=dict(self._webhooks(resources))),
        }
        if schemes:
            document |= {"components": {"securitySchemes": schemes}, "security": security}
        own = {key: self.definition[key] for key in ("status", "meta", "service") if key in self.definition}
        customs = [{**item, "handle": name} for name, item in _named(self.definition.get("operations"), "handle")]
        return {**document, "x-connector": {"handle": connector.handle, **own, **_given(operations=customs)}}

    def _add(self, operation: Operation, resource: Mapping[str, Any], source: Mapping[str, Any]) -> None:
        handle, _, name = operation.id.rpartition(".")
        path = operation.path.path.show()
        path = path if path.startswith("/") else f"/{path}"
        method = operation.method.lower()
        key = path if method not in self.paths.get(path, {}) else f"{path}#{name}"
        while method in self.paths.get(key, {}):
            key += "-2"
        own: dict[str, Any] = {"resource": handle, "name": name}
        if not _is_plain_path(operation):
            # A path may hold query parameters as well, which are not to be derived a second time.
            own["path"] = _whole_path(resource.get("endpoint"), source.get("path"))
            own["queryParams"] = source.get("queryParams", {})
        elif source.get("queryParams") and not all(_is_plain_query(operation, source)):
            own["queryParams"] = source["queryParams"]
        if source.get("bodyTemplate") is not None:
            own["bodyTemplate"] = source["bodyTemplate"]
        self.paths.setdefault(key, {})[method] = {
            "tags": [handle],
            "operationId": operation.id,
            **_given(
                summary=operation.short,
                description=operation.description,
                deprecated=operation.deprecated,
                parameters=list(_parameters(operation)),
                requestBody=_request_body(operation),
            ),
            "responses": _responses(operation),
            "x-connector": own | {key: source[key] for key in _OWN if key in source},
        }

    def _webhooks(self, resources: Sequence[tuple[str, Mapping[str, Any]]]) -> Iterator[tuple[str, dict[str, Any]]]:
        sources = {
            f"{handle}/{webhook['event']}": webhook
            for handle, resource in resources
            for webhook in resource.get("webhooks", ())
        }
        for webhook in self.connector.webhooks:
            schema = payload_schema(webhook.payload) or {"type": "object"}
            operation = {
                "tags": [webhook.resource],
                **_given(summary=webhook.description),
                "requestBody": {"content": {"application/json": {"schema": schema}}},
                "responses": {"2XX": {"description": "It is accepted."}},
                "x-connector": {"resource": webhook.resource, **sources[webhook.id]},
            }
            yield webhook.id, {"post": operation}


def _given(**members: Any) -> dict[str, Any]:
    """The members that are not empty."""
    return {name: value for name, value in members.items() if value}


def _named(source: Any, *identities: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The named things of a list, or of an object keyed by their names."""
    if isinstance(source, Mapping):
        yield from source.items()
    else:
        yield from ((next(item[key] for key in identities if key in item), item) for item in source or ())


def _placeholder(operation: Operation, name: str) -> Placeholder:
    return operation.inputs.get(name) or operation.service.placeholders[name]


def _parameters(operation: Operation) -> Iterator[dict[str, Any]]:
    for name in operation.path.path.names:
        schema = input_schema(_placeholder(operation, name), ("path",))
        yield {"name": name, "in": "path", "required": True, **_parts(schema)}
    query: dict[str, QueryPair] = {}
    for pair in operation.query:
        query.setdefault(urllib.parse.unquote(pair.name), pair)
    for name, pair in query.items():
        yield {"name": name, "in": "query", **_parameter(operation, pair.value, explodes=pair.explodes, is_query=True)}
    for name, template in operation.headers:
        if name.lower() in operation.own_headers and name.lower() not in NO_PARAMETERS:
            yield {"name": name, "in": "header", **_parameter(operation, template)}


def _parameter(
    operation: Operation, template: Template, *, explodes: bool = True, is_query: bool = False
) -> dict[str, Any]:
    slot, text = template.only_slot, template.literal
    if slot is None:
        fixed = {"type": "string"} if text is None else {"const": urllib.parse.unquote(text) if is_query else text}
        return {"required": True, "schema": fixed}
    placeholder = _placeholder(operation, slot)
    parts = _parts(input_schema(placeholder))
    if placeholder.type == "Object" and not explodes:
        parts["content"] = {"application/json": {"schema": parts.pop("schema")}}
    return {"required": placeholder.required and placeholder.default is None, **parts}


def _request_body(operation: Operation) -> dict[str, Any] | None:
    if operation.body is None:
        return None
    schema, required = body_schema(operation, operation.body)
    literals = (each.literal for name, each in operation.headers if name.lower() == "content-type")
    content_type = next(filter(None, literals), operation.body.content_type)
    return {"required": required, "content": {content_type.partition(";")[0]: {"schema": schema}}}


def _responses(operation: Operation) -> dict[str, Any]:
    if operation.response == "empty":
        return {"204": {"description": "Nothing comes back."}}
    schema: dict[str, Any] = {"type": "string"} if operation.response == "text" else {}
    if operation.response in ("json", "xml", "sse", "ndjson"):
        schema = answer_schema(operation)
    media_type = _MEDIA_TYPES.get(operation.response, "application/octet-stream")
    return {"200": {"description": "The answer.", "content": {media_type: _given(schema=schema)}}}


def _parts(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a parameter, with the description next to it."""
    description = schema.pop("description", "")
    return {**_given(description=description), "schema": schema}


def _tag(handle: str, resource: Mapping[str, Any]) -> dict[str, Any]:
    meta = resource.get("meta", {})
    own = {"fields": resource.get("fields", []), **_given(meta=meta)}
    return {"name": handle, **_given(description=meta.get("description")), "x-connector": own}


def _is_plain_path(operation: Operation) -> bool:
    """True if the path of the document is complete: an import would make the same of it."""
    path = operation.path
    names = [operation.inputs[name] for name in path.path.names if name in operation.inputs]
    return (
        not path.query
        and not path.multi
        and path.path.show().startswith("/")
        and len(names) == len(path.path.names)
        and all(
            not each.nullable and each.default is None and each.type in _PLAIN_TYPES - {"Array", "Object", "Any"}
            for each in names
        )
        and not any(isinstance(part, str) and ("%" in part or "{" in part or "}" in part) for part in path.path.parts)
    )


def _whole_path(endpoint: Any, path: Any) -> dict[str, Any]:
    """Endpoint and path as one template, with the placeholders of both."""
    texts: list[str] = []
    placeholders: dict[str, Any] = {}
    for source in (endpoint, path):
        value = source.get("value", "") if isinstance(source, Mapping) else source or ""
        declared = source.get("placeholders", ()) if isinstance(source, Mapping) else ()
        texts.append(value)
        for name, each in _named(declared, "name"):
            placeholders.setdefault(name, {**each, "name": name})
    return {"value": "".join(texts), "placeholders": list(placeholders.values())}


def _is_plain_query(operation: Operation, source: Mapping[str, Any]) -> Iterator[bool]:
    """For each query parameter, whether the parameter of the document is complete."""
    for name, entry in _named(source["queryParams"], "name"):
        placeholder = operation.inputs.get(name)
        yield (
            isinstance(entry, Mapping)
            and "value" not in entry
            and is_placeholder(name)
            and placeholder is not None
            and placeholder.type in _PLAIN_TYPES
            and (placeholder.default is None or placeholder.type in ("String", "Integer", "Number", "Boolean"))
            and placeholder.schema is None
            and len(placeholder.options) <= 500
            and operation.places.get(name) == ("query",)
        )


def _server(service: Service) -> dict[str, Any]:
    """The server with a variable for each part that a connection fills; each needs a default (OpenAPI 3.1, 4.8.6)."""
    variables: dict[str, Any] = {}
    for name in service.base.names:
        placeholder = service.placeholders[name]
        options = [to_text(each) for each in placeholder.options]
        begins = isinstance(service.base.parts[0], Slot) and service.base.parts[0].name == name
        fallback = _NOWHERE if begins else name.lower().replace("_", "-")
        default = to_text(placeholder.default) if placeholder.default is not None else (options or [fallback])[0]
        variables[name] = {"default": default, **_given(enum=options, description=placeholder.description)}
    return {"url": service.base.show(), **_given(variables=variables)}


def _security(service: Service) -> tuple[dict[str, Any], list[dict[str, list[str]]]]:
    """The security schemes of all auth methods, and what is required: one of the methods."""
    schemes: dict[str, Any] = {}
    required: list[dict[str, list[str]]] = []
    names = service.auth_methods or ("none",)
    for method, auth in zip(names, (service.auth, *service.auth_options), strict=True):
        found = {
            f"{method}{number if number > 1 else ''}": each for number, each in enumerate(_schemes(method, auth), 1)
        }
        schemes |= {name: scheme for name, (scheme, _) in found.items()}
        required.append({name: scopes for name, (_, scopes) in found.items()})
    return schemes, required


def _schemes(method: str, auth: Auth) -> Iterator[tuple[dict[str, Any], list[str]]]:
    if isinstance(auth, BasicAuth):
        yield {"type": "http", "scheme": "basic"}, []
    elif isinstance(auth, GrantAuth):
        yield _grant_scheme(method, auth)
    else:
        for carrier in getattr(auth, "carriers", ()):
            name = carrier.name.literal or ("Authorization" if carrier.place == "header" else "token")
            if carrier.place == "header" and name.lower() == "authorization" and carrier.prefix in (None, "Bearer"):
                yield {"type": "http", "scheme": "bearer"}, []
            else:
                yield {"type": "apiKey", "in": carrier.place, "name": name}, []


def _grant_scheme(method: str, auth: GrantAuth) -> tuple[dict[str, Any], list[str]]:
    """The OAuth 2 flow; other ways to obtain a token are described as a bearer token."""
    client = getattr(auth.grantor, "client", None)

    def url(template: Any) -> str:
        return (template.literal if isinstance(template, Template) else None) or _NOWHERE

    scopes = ((client.scopes.literal if client is not None else "") or "").split()
    flow = {"tokenUrl": url(client.token_url if client else None), "scopes": dict.fromkeys(scopes, "")}
    if method == "oauth2clientcredentials":
        return {"type": "oauth2", "flows": {"clientCredentials": flow}}, scopes
    if method == "oauth2authorizationcode":
        login = {"authorizationUrl": url(getattr(auth.grantor, "authorization", None)), **flow}
        return {"type": "oauth2", "flows": {"authorizationCode": login}}, scopes
    return {"type": "http", "scheme": "bearer", "description": f"A token obtained by {method}."}, []
