"""A device with Microsoft's SDK for Python: telemetry, twin, direct methods and
cloud-to-device messages.

    pip install -r requirements.txt
    export IOTHUB_DEVICE_CONNECTION_STRING='HostName=…;DeviceId=…;SharedAccessKey=…'
    python device.py ca.pem [count]
"""

import json
import os
import random
import signal
import sys
import threading
from datetime import datetime, timezone

from azure.iot.device import IoTHubDeviceClient, Message, MethodResponse, exceptions

# What the SDK raises at once while the hub is away, and when it goes away. It
# tries to reconnect meanwhile, but what was to be sent is not sent again.
AWAY = (
    exceptions.ConnectionFailedError,
    exceptions.ConnectionDroppedError,
    exceptions.NoConnectionError,
    exceptions.OperationCancelled,
    exceptions.OperationTimeout,
)


class Device:
    """One connection and the four conversations over it.

    The SDK calls handlers on threads of its own, several at the same time, and
    reconnects by itself.
    """

    def __init__(self, client):
        self._client = client
        self._interval = 5  # seconds between messages; the twin may say otherwise
        self._following = threading.Lock()
        self._wake = threading.Event()  # ends the pause before the next message
        self._stopped = False
        # The handlers subscribe. That is done once: the hub keeps the
        # subscriptions while the device is away.
        client.on_twin_desired_properties_patch_received = self.on_desired
        client.on_method_request_received = self.on_method
        client.on_message_received = self.on_message
        client.on_connection_state_change = self.on_connection

    def on_connection(self):
        if self._client.connected:
            print("connected again", flush=True)
            # Nobody tells a device of a change that came while it was away.
            self.follow_desired()
        elif not self._stopped:
            print("connection lost; the SDK reconnects", flush=True)

    def stop(self, *_):
        # A second Ctrl-C ends the program at once, should the first one have to
        # wait for a hub that is away.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        self._stopped = True
        self._wake.set()

    def close(self):
        self._stopped = True
        self._client.shutdown()

    def send_telemetry(self, count):
        """Sends count messages, or until the device is stopped."""
        n = 0
        while not self._stopped:
            message = Message(json.dumps({"n": n, "temperature": 20 + random.random()}))
            message.content_type = "application/json"
            message.content_encoding = "utf-8"
            message.custom_properties["level"] = "info"
            if not self._send(message):
                return
            print("stored:", message.data, flush=True)
            n += 1
            if n == count:
                return
            # A new interval begins with the next message.
            self._pause(self._interval)

    def _send(self, message):
        """Sends a message again until the hub has it. False: the device was
        stopped before."""
        while not self._stopped:
            try:
                self._client.send_message(message)  # returns when JetStream has stored it
                return True
            except AWAY as err:
                print("not stored, and sent again in five seconds:", err, flush=True)
                self._pause(5)
        return False

    def _pause(self, seconds):
        self._wake.wait(seconds)
        if not self._stopped:
            self._wake.clear()

    def on_desired(self, patch):
        """Hears of a change. The handlers of two changes may run at the same
        time, so that the whole twin says what is desired, not the patch."""
        print("desired:", json.dumps(patch), flush=True)
        self.follow_desired()

    def follow_desired(self):
        """Does what the twin says, and reports what the device has become."""
        try:
            with self._following:
                self._apply(self._client.get_twin()["desired"])
                self._report({"telemetryInterval": self._interval, "firmware": "1.0.0"})
        except (*AWAY, exceptions.ClientError, exceptions.ServiceError) as err:
            print("the twin is not followed:", err, file=sys.stderr)

    def _apply(self, desired):
        wanted = desired.get("telemetryInterval", self._interval)
        if type(wanted) not in (int, float) or not 1 <= wanted <= 86400:
            print("telemetryInterval is a number of seconds from 1 to 86400, not", wanted, file=sys.stderr)
        elif wanted != self._interval:
            self._interval = wanted
            self._wake.set()

    def _report(self, properties):
        self._client.patch_twin_reported_properties(properties)
        print("reported:", json.dumps(properties), flush=True)

    def on_method(self, request):
        """Answers a direct method, any: one handler gets all of them."""
        if request.name == "reboot":
            status, payload, delay = self._reboot(request.payload)
        else:
            status, payload, delay = 404, {"error": f"there is no method {request.name}"}, None
        self._client.send_method_response(MethodResponse.create_from_method_request(request, status, payload))
        print("method:", request.name, json.dumps(request.payload), status, flush=True)
        if delay is not None:
            # After the answer: a device that restarts answers nobody.
            timer = threading.Timer(delay, self._restart)
            timer.daemon = True
            timer.start()

    def _reboot(self, payload):
        delay = payload.get("delay", 0) if isinstance(payload, dict) else 0
        if type(delay) not in (int, float) or not 0 <= delay <= 3600:
            return 400, {"error": 'the payload is {"delay":n}, with n from 0 to 3600 seconds'}, None
        return 200, {"rebootingIn": delay}, delay

    def _restart(self):
        print("rebooting", flush=True)  # your device does it here
        try:
            self._report({"lastReboot": datetime.now(timezone.utc).isoformat()})
        except (*AWAY, exceptions.ClientError, exceptions.ServiceError) as err:
            print("the reboot is not reported:", err, file=sys.stderr)

    def on_message(self, message):
        """Handles a cloud-to-device message, which the SDK then completes."""
        print("message:", message.data.decode(), message.custom_properties, flush=True)


def main():
    with open(sys.argv[1], encoding="ascii") as file:
        authority = file.read()
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 0  # 0: until Ctrl-C
    client = IoTHubDeviceClient.create_from_connection_string(
        os.environ["IOTHUB_DEVICE_CONNECTION_STRING"],
        server_verification_cert=authority,
        # websockets=True,  # over port 443
    )
    client.connect()
    print("connected", flush=True)
    device = Device(client)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, device.stop)
    try:
        device.follow_desired()
        device.send_telemetry(count)
    finally:
        device.close()


if __name__ == "__main__":
    main()
