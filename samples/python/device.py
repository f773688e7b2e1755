"""A device with Microsoft's SDK for Python.

    pip install -r requirements.txt
    export IOTHUB_DEVICE_CONNECTION_STRING='HostName=…;DeviceId=…;SharedAccessKey=…'
    python device.py ca.pem [count]
"""

import json
import os
import random
import sys
import time

from azure.iot.device import IoTHubDeviceClient, Message


def main():
    with open(sys.argv[1], encoding="ascii") as file:
        authority = file.read()
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 10
    client = IoTHubDeviceClient.create_from_connection_string(
        os.environ["IOTHUB_DEVICE_CONNECTION_STRING"],
        server_verification_cert=authority,
        # websockets=True,  # over port 443
    )
    client.connect()
    for n in range(count):
        message = Message(json.dumps({"n": n, "temperature": 20 + random.random()}))
        message.content_type = "application/json"
        message.content_encoding = "utf-8"
        message.custom_properties["level"] = "info"
        client.send_message(message)  # returns when JetStream has stored it
        print("stored:", message.data)
        if n + 1 < count:
            time.sleep(1)
    client.shutdown()


if __name__ == "__main__":
    main()
