"""Remote control of the Azure IoT device SDK for Python.

Reads one JSON command a line from standard input and writes one JSON line per
answer and per event. The Go tests hold the scenarios; the protocol is
described in ../doc.go. The first argument chooses the SDK's face: sync or aio.
"""

import asyncio
import base64
import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import azure.iot.device
import azure.iot.device.aio

_out = threading.Lock()


def say(line):
    with _out:
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


def describe(err):
    chain, e = [], err
    while e is not None and len(chain) < 8:
        chain.append(type(e).__name__)
        e = e.__cause__
    return {"class": chain[0], "chain": chain, "message": str(err)}


def message(m):
    msg = azure.iot.device.Message(base64.b64decode(m.get("body", "")))
    names = {
        "messageId": "message_id",
        "correlationId": "correlation_id",
        "userId": "user_id",
        "contentType": "content_type",
        "contentEncoding": "content_encoding",
        "expiry": "expiry_time_utc",
    }
    for ours, theirs in names.items():
        if ours in m:
            setattr(msg, theirs, m[ours])
    if m.get("security"):
        msg.set_as_security_message()
    msg.custom_properties.update(m.get("properties") or [])
    return msg


def shown(msg):
    """A message as the SDK gives it to the application."""
    plain = {
        "messageId": msg.message_id,
        "correlationId": msg.correlation_id,
        "userId": msg.user_id,
        "contentType": msg.content_type,
        "contentEncoding": msg.content_encoding,
        "expiry": msg.expiry_time_utc,
        "ack": msg.ack,
        "body": base64.b64encode(msg.data).decode(),
        "properties": list(msg.custom_properties.items()),
    }
    return {name: value for name, value in plain.items() if value is not None}


class SyncFace:
    """Calls of the synchronous clients, as they are."""

    package = azure.iot.device

    def call(self, method, *args):
        return method(*args)

    def method_handler(self, name, client, respond):
        """A handler that sends what respond makes of a request, if anything."""

        def handle(request):
            response = respond(request)
            if response is not None:
                client.send_method_response(response)
                say({"event": "answered", "client": name})

        return handle


class AioFace:
    """Calls of the asyncio clients, run on one event loop in its own thread."""

    package = azure.iot.device.aio

    def __init__(self):
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def call(self, method, *args):
        async def run():
            return await method(*args)

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result()

    def method_handler(self, name, client, respond):
        """The same as a coroutine function, which the SDK runs on a loop of its own.

        It must not need self._loop: shutdown() occupies that while it waits for the
        handlers that are plain functions, because _stop_receiver_handler_runner of
        azure/iot/device/iothub/aio/async_handler_manager.py blocks in future.result()
        instead of awaiting. A function that sends by call() would wait for the loop,
        and the loop for the function, for ever.
        """

        async def handle(request):
            response = respond(request)
            if response is not None:
                await client.send_method_response(response)
                say({"event": "answered", "client": name})

        return handle


class Pump:
    """Keeps `window` messages in flight until stopped, and reports the fate of each."""

    def __init__(self, driver, cmd):
        self._driver, self._cmd = driver, cmd
        self._lock = threading.Lock()
        self._running, self._next, self._pending = True, 0, 0
        for _ in range(cmd["window"]):
            threading.Thread(target=self._run, daemon=True).start()

    def _take(self):
        with self._lock:
            seq = self._next
            self._next += 1
            self._pending += 1
            return seq

    def _run(self):
        name = self._cmd["client"]
        while self._running:
            seq = self._take()
            body = (self._cmd["prefix"] + str(seq)).encode()
            try:
                self._driver.transmit(name, {"body": base64.b64encode(body).decode()})
                say({"event": "confirmed", "client": name, "seq": seq})
            except Exception as err:
                say({"event": "failed", "client": name, "seq": seq, "error": describe(err)})
            with self._lock:
                self._pending -= 1
            time.sleep(self._cmd["pauseMillis"] / 1000)

    def stop(self):
        self._running = False
        with self._lock:
            return {"sent": self._next, "pending": self._pending}


class Driver:
    """The commands: each method is an operation by its name."""

    def __init__(self, face):
        self._face = face
        self._clients, self._pumps = {}, {}

    def transmit(self, name, m):
        client = self._clients[name]
        if m.get("output"):
            self._face.call(client.send_message_to_output, message(m), m["output"])
        else:
            self._face.call(client.send_message, message(m))

    def _construct(self, cmd):
        with open(cmd["caFile"], encoding="ascii") as f:
            options = {"server_verification_cert": f.read()}
        options["websockets"] = cmd.get("transport") == "ws"
        options["connection_retry"] = not cmd.get("noRetry", False)
        options["connection_retry_interval"] = cmd.get("retrySeconds", 10)
        if cmd.get("modelId"):
            options["product_info"] = cmd["modelId"]  # which is taken for a model by its prefix
        kind = "IoTHubModuleClient" if cmd.get("module") else "IoTHubDeviceClient"
        kind = getattr(self._face.package, kind)
        if cmd.get("certFile"):
            return self._with_certificate(kind, cmd, options)
        if cmd.get("tokens"):
            return kind.create_from_sastoken(cmd["tokens"][0], **options)
        if cmd.get("tokenSeconds"):
            options["sastoken_ttl"] = cmd["tokenSeconds"]
        return kind.create_from_connection_string(cmd["connectionString"], **options)

    def _with_certificate(self, kind, cmd, options):
        fields = dict(part.split("=", 1) for part in cmd["connectionString"].split(";"))
        x509 = azure.iot.device.X509(cmd["certFile"], cmd["keyFile"])
        names = {"hostname": fields["HostName"], "device_id": fields["DeviceId"]}
        if cmd.get("module"):
            names["module_id"] = fields["ModuleId"]
        return kind.create_from_x509_certificate(x509=x509, **names, **options)

    def open(self, cmd):
        name = cmd["client"]
        client = self._construct(cmd)
        self._clients[name] = client

        def changed():
            say({"event": "connected" if client.connected else "disconnected", "client": name})

        def background(err):
            say({"event": "errored", "client": name, "error": describe(err)})

        client.on_connection_state_change = changed
        client.on_background_exception = background
        self._face.call(client.connect)

    def send(self, cmd):
        self.transmit(cmd["client"], cmd["message"])

    def renew(self, cmd):
        self._face.call(self._clients[cmd["client"]].update_sastoken, cmd["token"])

    def subscribe(self, cmd):
        name = cmd["client"]
        client = self._clients[name]
        handlers = {
            "c2d": (
                "on_message_received",
                lambda msg: say({"event": "message", "client": name, "message": shown(msg)}),
            ),
            "inputs": ("on_message_received", lambda _: None),
            "methods": (
                "on_method_request_received",
                self._face.method_handler(name, client, lambda request: self._called(name, request)),
            ),
            "twin": (
                "on_twin_desired_properties_patch_received",
                lambda patch: say({"event": "desired", "client": name, "data": patch}),
            ),
        }
        attribute, handler = handlers[cmd["filter"]]
        setattr(client, attribute, handler)

    def _called(self, name, request):
        """The response of any method: unknown ones are the handler's business."""
        if request.name == "silent":
            say({"event": "called", "client": name})
            return None
        echo = (207, request.payload)
        answers = {"echo": echo, "thermostat1*echo": echo, "empty": (204, None)}
        status, payload = answers.get(request.name, (404, None))
        return azure.iot.device.MethodResponse.create_from_method_request(request, status, payload)

    def twin(self, cmd):
        return {"twin": self._face.call(self._clients[cmd["client"]].get_twin)}

    def patch(self, cmd):
        self._face.call(self._clients[cmd["client"]].patch_twin_reported_properties, cmd["patch"])

    def pump(self, cmd):
        self._pumps[cmd["client"]] = Pump(self, cmd)

    def stop(self, cmd):
        return self._pumps[cmd["client"]].stop()

    def close(self, cmd):
        self._face.call(self._clients[cmd["client"]].shutdown)


def answer(driver, cmd):
    try:
        result = getattr(driver, cmd["op"])(cmd) or {}
        say({"id": cmd["id"], **result})
    except Exception as err:
        say({"id": cmd["id"], "error": describe(err)})


def died(args):
    say({"event": "died", "error": describe(args.exc_value)})


def main():
    threading.excepthook = died  # of a thread of the SDK, for ours catch everything
    driver = Driver(AioFace() if sys.argv[1] == "aio" else SyncFace())
    lanes = {}
    say({"event": "ready"})
    for line in sys.stdin:
        cmd = json.loads(line)
        # One lane per client keeps its commands in order.
        # Stopping a pump must not wait behind anything.
        key = "stop" if cmd["op"] == "stop" else cmd["client"]
        lane = lanes.setdefault(key, ThreadPoolExecutor(max_workers=1))
        lane.submit(answer, driver, cmd)


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    # The SDK's own threads would keep the interpreter alive.
    import os

    os._exit(0)
