"""A connector as an OpenAPI 3.1 document: paths, inputs, fields, security, webhooks.

The plain part is right by itself: it describes the very requests that the runtime sends. What OpenAPI has no words for
(the names of inputs, templates of bodies, selectors, pagination, custom operations) stands beside it in `x-connector`,
in the words of the definition, and `openapi.from_openapi` reads it back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from connector.auth.methods import BasicAuth, GrantAuth
from connector.describe.schemas import answer_schema, body_schema, input_schema, payload_schema
from connector.model.definition import Connector, Operation
from connector.model.service import Service
from connector.openapi.names import is_placeholder
from connector.protocols import Auth, Body
from connector.templates import Placeholder, Slot, Template
from connector.types import to_text

#: What an operation says in the definition and OpenAPI has no words for.
_BESIDE = (
    *("headers", "form", "idempotent", "pagination", "records", "response", "fields", "rateLimit", "retry", "errors"),
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
#: Headers that OpenAPI takes from elsewhere (3.1.1, section 4.8.12).
_NO_PARAMETERS = frozenset({"accept", "content-type", "authorization"})
_NOWHERE = "https://provider.invalid"
_PLAIN_TYPES = frozenset({"String", "Integer", "Number", "Boolean", "Array", "Object", "Any", "Date", "DateTime"})


def to_openapi(connector: Connector, definition: Mapping[str, Any]) -> dict[str, Any]:
    """The document. `definition` is the whole connector as JSON, as `parsing.merge_documents` gives it.

    The same connector gives the same document. Operations that share path and method are told apart by a fragment of
    the path (`/chat#stream`), which is no part of the request.
    """
    return _Export(connector, definition).write()


class _Export:
    """One connector being written."""

    def __init__(self, connector: Connector, definition: Mapping[str, Any]) -> None:
        self.connector = connector
        self.definition = definition
        self.paths: dict[str, dict[str, Any]] = {}

    def write(self) -> dict[str, Any]:
        connector = self.connector
        resources = list(self._named(self.definition.get("resources"), "handle"))
        for handle, resource in resources:
            for name, source in self._named(resource.get("operations"), "handle", "name"):
                self._operation(connector.operations[f"{handle}.{name}"], resource, source)
        schemes, security = _security(connector.service)
        info = {"title": connector.short or connector.handle, "version": "1"}
        if connector.description:
            info["description"] = connector.description
        document: dict[str, Any] = {
            "openapi": "3.1.0",
            "info": info,
            "servers": [_server(connector.service)],
            "tags": [_tag(handle, resource) for handle, resource in resources],
            "paths": self.paths,
        }
        webhooks = dict(self._webhooks(resources))
        if webhooks:
            document["webhooks"] = webhooks
        if schemes:
            document["components"] = {"securitySchemes": schemes}
            document["security"] = security
        own: dict[str, Any] = {"handle": connector.handle}
        own |= {key: self.definition[key] for key in ("status", "meta", "service") if key in self.definition}
        customs = [{**item, "handle": name} for name, item in self._named(self.definition.get("operations"), "handle")]
        if customs:
            own["operations"] = customs
        return {**document, "x-connector": own}

    def _named(self, source: Any, *identities: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """The named things of a list, or of an object keyed by their names."""
        if isinstance(source, Mapping):
            yield from source.items()
        for item in source if isinstance(source, list) else ():
            yield next(item[key] for key in identities if key in item), item

    # Operations

    def _operation(self, operation: Operation, resource: Mapping[str, Any], source: Mapping[str, Any]) -> None:
        handle, _, name = operation.id.rpartition(".")
        path = _shown(operation.path.path)
        path = path if path.startswith("/") else f"/{path}"
        method = operation.method.lower()
        key = path if method not in self.paths.get(path, {}) else f"{path}#{name}"
        while method in self.paths.get(key, {}):
            key += "-2"
        own: dict[str, Any] = {"resource": handle, "name": name}
        parameters = [*self._path_parameters(operation), *self._query_parameters(operation)]
        parameters += self._header_parameters(operation)
        written: dict[str, Any] = {"tags": [handle], "operationId": operation.id}
        if operation.short:
            written["summary"] = operation.short
        if operation.description:
            written["description"] = operation.description
        if operation.deprecated:
            written["deprecated"] = True
        if parameters:
            written["parameters"] = parameters
        if operation.body is not None:
            written["requestBody"] = self._request_body(operation, operation.body)
        written["responses"] = self._responses(operation)
        if not _is_plain_path(operation):
            # A path may hold query parameters as well, which are not to be derived a second time.
            own["path"] = _whole_path(resource.get("endpoint"), source.get("path"))
            own["queryParams"] = source.get("queryParams", {})
        elif source.get("queryParams") and not all(_is_plain_query(operation, source)):
            own["queryParams"] = source["queryParams"]
        if source.get("bodyTemplate") is not None:
            own["bodyTemplate"] = source["bodyTemplate"]
        own |= {key: source[key] for key in _BESIDE if key in source}
        own |= {"meta": source["meta"]} if "meta" in source else {}
        written["x-connector"] = own
        self.paths.setdefault(key, {})[method] = written

    def _path_parameters(self, operation: Operation) -> Iterator[dict[str, Any]]:
        for name in operation.path.path.names:
            schema = input_schema(self._placeholder(operation, name), ("path",))
            yield {"name": name, "in": "path", "required": True, **_parts(schema)}

    def _query_parameters(self, operation: Operation) -> Iterator[dict[str, Any]]:
        import urllib.parse  # only what is exported needs it

        seen: set[str] = set()
        for pair in operation.query:
            wire = urllib.parse.unquote(pair.name)
            if wire in seen:
                continue
            seen.add(wire)
            slot = pair.value.only_slot
            if slot is None:
                text = pair.value.literal
                fixed = {"type": "string"} if text is None else {"const": urllib.parse.unquote(text)}
                yield {"name": wire, "in": "query", "required": True, "schema": fixed}
                continue
            placeholder = self._placeholder(operation, slot)
            parts = _parts(input_schema(placeholder))
            parameter = {"name": wire, "in": "query", "required": placeholder.required and placeholder.default is None}
            if placeholder.type == "Object" and not pair.explodes:
                parts["content"] = {"application/json": {"schema": parts.pop("schema")}}
            yield {**parameter, **parts}

    def _header_parameters(self, operation: Operation) -> Iterator[dict[str, Any]]:
        for name, template in operation.headers:
            if name.lower() not in operation.own_headers or name.lower() in _NO_PARAMETERS:
                continue
            slot = template.only_slot
            placeholder = None if slot is None else self._placeholder(operation, slot)
            if placeholder is None:
                fixed = {"type": "string"} if template.literal is None else {"const": template.literal}
                yield {"name": name, "in": "header", "required": True, "schema": fixed}
            else:
                must = placeholder.required and placeholder.default is None
                yield {"name": name, "in": "header", "required": must, **_parts(input_schema(placeholder))}

    def _placeholder(self, operation: Operation, name: str) -> Placeholder:
        if name in operation.inputs:
            return operation.inputs[name]
        return operation.service.placeholders[name]

    def _request_body(self, operation: Operation, body: Body) -> dict[str, Any]:
        schema, required = body_schema(operation, body)
        content_type = next(
            (each.literal for name, each in operation.headers if name.lower() == "content-type" and each.literal),
            body.content_type,
        )
        return {"required": required, "content": {content_type.partition(";")[0]: {"schema": schema}}}

    def _responses(self, operation: Operation) -> dict[str, Any]:
        if operation.response == "empty":
            return {"204": {"description": "Nothing comes back."}}
        content: dict[str, Any] = {}
        if operation.response in ("json", "xml", "sse", "ndjson"):
            schema = answer_schema(operation)
            content = {"schema": schema} if schema else {}
        elif operation.response == "text":
            content = {"schema": {"type": "string"}}
        media_type = _MEDIA_TYPES.get(operation.response, "application/octet-stream")
        return {"200": {"description": "The answer.", "content": {media_type: content}}}

    # Webhooks

    def _webhooks(self, resources: Sequence[tuple[str, Mapping[str, Any]]]) -> Iterator[tuple[str, dict[str, Any]]]:
        sources = {
            f"{handle}/{webhook['event']}": webhook
            for handle, resource in resources
            for webhook in resource.get("webhooks", ())
        }
        for webhook in self.connector.webhooks:
            operation: dict[str, Any] = {"tags": [webhook.resource]}
            if webhook.description:
                operation["summary"] = webhook.description
            operation["requestBody"] = {
                "content": {"application/json": {"schema": payload_schema(webhook.payload) or {"type": "object"}}}
            }
            operation["responses"] = {"2XX": {"description": "It is taken."}}
            operation["x-connector"] = {"resource": webhook.resource, **sources[webhook.id]}
            yield webhook.id, {"post": operation}


def _parts(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a parameter, and its description, which stands beside it."""
    description = schema.pop("description", "")
    return {**({"description": description} if description else {}), "schema": schema}


def _shown(template: Template) -> str:
    return "".join(part if isinstance(part, str) else f"{{{part.name}}}" for part in template.parts)


def _tag(handle: str, resource: Mapping[str, Any]) -> dict[str, Any]:
    tag: dict[str, Any] = {"name": handle}
    meta = resource.get("meta", {})
    if meta.get("description"):
        tag["description"] = meta["description"]
    own = {"fields": resource.get("fields", []), **({"meta": meta} if meta else {})}
    return {**tag, "x-connector": own}


def _is_plain_path(operation: Operation) -> bool:
    """True if the path of the document says all there is: what an import would make of it is the same."""
    path = operation.path
    names = [operation.inputs[name] for name in path.path.names if name in operation.inputs]
    return (
        not path.query
        and not path.multi
        and _shown(path.path).startswith("/")
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
        items = declared.items() if isinstance(declared, Mapping) else ((each["name"], each) for each in declared)
        for name, each in items:
            placeholders.setdefault(name, {**each, "name": name})
    return {"value": "".join(texts), "placeholders": list(placeholders.values())}


def _is_plain_query(operation: Operation, source: Mapping[str, Any]) -> Iterator[bool]:
    """For each query parameter, whether a parameter of the document says all there is of it."""
    listed = source["queryParams"]
    entries = listed.items() if isinstance(listed, Mapping) else ((each["name"], each) for each in listed)
    for name, entry in entries:
        placeholder = operation.inputs.get(name)
        yield (
            isinstance(entry, Mapping)
            and "value" not in entry
            and is_placeholder(name)
            and placeholder is not None
            and placeholder.type in _PLAIN_TYPES
            and (placeholder.default is None or placeholder.type in ("String", "Integer", "Number", "Boolean"))
            and (placeholder.schema is None)
            and len(placeholder.options) <= 500
            and operation.places.get(name) == ("query",)
        )


def _server(service: Service) -> dict[str, Any]:
    """The server with a variable for each part that a connection fills; each needs a default (OpenAPI 3.1, 4.8.6)."""
    url = _shown(service.base)
    variables: dict[str, Any] = {}
    for name in service.base.names:
        placeholder = service.placeholders[name]
        options = [to_text(each) for each in placeholder.options]
        begins = isinstance(service.base.parts[0], Slot) and service.base.parts[0].name == name
        fallback = _NOWHERE if begins else name.lower().replace("_", "-")
        default = to_text(placeholder.default) if placeholder.default is not None else (options or [fallback])[0]
        variables[name] = {"default": default, **({"enum": options} if options else {})}
        if placeholder.description:
            variables[name]["description"] = placeholder.description
    return {"url": url, "variables": variables} if variables else {"url": url}


def _security(service: Service) -> tuple[dict[str, Any], list[dict[str, list[str]]]]:
    """The security schemes of all auth methods, and what is demanded: one of the methods."""
    schemes: dict[str, Any] = {}
    demanded: list[dict[str, list[str]]] = []
    names = service.auth_methods or ("none",)
    for method, auth in zip(names, (service.auth, *service.auth_options), strict=True):
        needed: dict[str, list[str]] = {}
        for number, (scheme, scopes) in enumerate(_schemes(method, auth)):
            name = f"{method}{number + 1 if number else ''}"
            schemes[name] = scheme
            needed[name] = scopes
        demanded.append(needed)
    return schemes, demanded


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
    """OAuth 2 flows; other ways to obtain a token end in a token all the same."""
    client = getattr(auth.grantor, "client", None)

    def url(template: Any) -> str:
        return (template.literal if isinstance(template, Template) else None) or _NOWHERE

    scopes = ((client.scopes.literal if client is not None else "") or "").split()
    known = dict.fromkeys(scopes, "")
    if method == "oauth2clientcredentials":
        flow = {"clientCredentials": {"tokenUrl": url(client.token_url if client else None), "scopes": known}}
        return {"type": "oauth2", "flows": flow}, scopes
    if method == "oauth2authorizationcode":
        flow = {
            "authorizationCode": {
                "authorizationUrl": url(getattr(auth.grantor, "authorization", None)),
                "tokenUrl": url(client.token_url if client else None),
                "scopes": known,
            }
        }
        return {"type": "oauth2", "flows": flow}, scopes
    return {"type": "http", "scheme": "bearer", "description": f"A token obtained by {method}."}, []
