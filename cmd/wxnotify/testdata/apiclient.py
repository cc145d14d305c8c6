"""A client that knows the address of the API, a key, and nothing else: it finds the
operations in /openapi.json by their operationId. Standard library only."""
import json
import sys
import time
import urllib.error
import urllib.request

base, key = sys.argv[1], sys.argv[2]
document = json.load(urllib.request.urlopen(base + "/openapi.json"))


def resolve(node):
    while "$ref" in node:
        found = document
        for part in node["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        node = found
    return node


def operation(name):
    for path, item in document["paths"].items():
        for method, op in item.items():
            if isinstance(op, dict) and op.get("operationId") == name:
                return method.upper(), path, {**op, "parameters": item.get("parameters", []) + op.get("parameters", [])}
    raise SystemExit(f"the document has no operation {name}")


def call(name, body=None, **params):
    method, path, op = operation(name)
    for p in map(resolve, op.get("parameters", [])):
        if p["in"] == "path":
            path = path.replace("{%s}" % p["name"], params[p["name"]])
    headers = {}
    for need in op.get("security", document.get("security", [])):
        for scheme in need:
            s = document["components"]["securitySchemes"][scheme]
            assert (s["type"], s["scheme"].lower()) == ("http", "bearer"), s
            headers["Authorization"] = "Bearer " + key
    data = None
    if body is not None:
        assert "application/json" in op["requestBody"]["content"]
        data, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
    request = urllib.request.Request(base + path, data=data, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request) as response:
            status, answer = response.status, json.load(response)
    except urllib.error.HTTPError as error:
        status, answer = error.code, json.load(error)
    known = resolve(op["responses"].get(str(status)) or op["responses"].get("default") or {})
    assert known, f"{name} answered {status}, which the document does not describe"
    return status, answer


def example(name):
    """The document's own example of the operation's body."""
    content = operation(name)[2]["requestBody"]["content"]["application/json"]
    return content.get("example") or content["examples"]["one"]["value"]


message = example("sendMessages")
message["message"]["touser"] = "wxn-sim-delivered"
message.pop("user", None)
for gone in ("not_before", "not_after"):
    message.pop(gone, None)
message["id"] = "generic-1"
status, sent = call("sendMessages", message)
assert status == 202, (status, sent)
ends = set(sys.argv[3].split(","))
for _ in range(600):
    status, got = call("getMessage", id="generic-1")
    assert status == 200, (status, got)
    if got["state"] in ends:
        break
    time.sleep(0.1)
print(got["state"])
message["id"] = "generic-2"
message["not_before"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
status, later = call("sendMessages", message)
assert status == 202 and later["state"] == "scheduled", (status, later)
status, cancelled = call("cancelMessage", id="generic-2")
assert status == 200, (status, cancelled)
print(cancelled["state"])
status, late = call("cancelMessage", id="generic-1")
assert status == 409 and late["code"] == "too-late", (status, late)
