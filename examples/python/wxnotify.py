"""The HTTP API with Python's standard library. See ../README.md."""
import base64
import hashlib
import hmac
import http.server
import json
import os
import sys
import time
import urllib.parse
import urllib.request

API = os.environ.get("API_URL", "http://127.0.0.1:8081")
ENDS = {"delivered", "rejected", "expired", "cancelled", "unknown", "dead"}


def call(method, path, body=None):
    """Calls the API. urllib raises HTTPError; its body is problem+json."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(API + path, data, method=method, headers={
        "Authorization": "Bearer " + os.environ["API_KEY"], "Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def send(to, message_id, not_before=None):
    """Enqueues a message. The same id again sends nothing twice."""
    body = {"id": message_id, "message": {
        "touser": to, "template_id": "sim-order-paid-T0aXc9mB3kQvR7yLwEzH1uJdGpN2",
        "data": {"thing1": {"value": "咖啡"}, "time2": {"value": "2026-11-25 10:00"}, "amount3": {"value": "¥10.00"}}}}
    if not_before:
        body["not_before"] = not_before
    return call("POST", "/v1/messages", body)["state"]


def poll(message_id):
    """Waits for the end of a message. Webhooks tell it without polling."""
    while True:
        state = call("GET", "/v1/messages/" + urllib.parse.quote(message_id, safe=""))["state"]
        if state in ENDS:
            return state
        time.sleep(0.5)


def verified(secret, headers, body):
    """Reports whether wxnotify signed this webhook within the last five minutes."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    name, at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not at.isdigit() or abs(time.time() - int(at)) > 300:
        return False
    want = base64.b64encode(hmac.new(key, f"{name}.{at}.".encode() + body, hashlib.sha256).digest())
    given = headers.get("webhook-signature", "").split()  # several while the secret is rotated
    return any(hmac.compare_digest(b"v1," + want, s.encode()) for s in given)


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not verified(os.environ["WEBHOOK_SECRET"], self.headers, body):
            self.send_response(401)
        else:
            # An event may come twice: remember its webhook-id. Answer within seconds.
            print(json.loads(body)["type"], flush=True)
            self.send_response(204)
        self.end_headers()

    def log_message(self, *args):
        pass


if __name__ == "__main__":
    command, *args = sys.argv[1:]
    if command == "send":
        print(send(*args))
    elif command == "poll":
        print(poll(*args))
    elif command == "cancel":
        print(call("DELETE", "/v1/messages/" + urllib.parse.quote(args[0], safe=""))["state"])
    elif command == "link":
        print(call("POST", "/v1/enroll-links", {"user": args[0]})["url"])
    elif command == "webhook":
        http.server.ThreadingHTTPServer(("127.0.0.1", int(args[0])), Receiver).serve_forever()
