"""A device without an SDK: paho-mqtt used as Microsoft's page about using MQTT
directly says, with a token that was made beforehand.

Arguments: host, CA file, device id, token, number of messages. Writes a line of
JSON per PUBACK and one at the end.
"""

import json
import ssl
import sys
import threading

from paho.mqtt import client as mqtt


def main():
    host, ca_file, device, token, count = sys.argv[1:]
    count = int(count)
    connected, acknowledged = threading.Event(), threading.Semaphore(0)
    result = {}

    def on_connect(client, userdata, flags, rc):
        result["rc"] = rc
        connected.set()

    def on_publish(client, userdata, mid):
        acknowledged.release()

    client = mqtt.Client(client_id=device, protocol=mqtt.MQTTv311, clean_session=False)
    client.on_connect, client.on_publish = on_connect, on_publish
    client.username_pw_set(username=f"{host}/{device}/?api-version=2021-04-12", password=token)
    client.tls_set(ca_certs=ca_file, tls_version=ssl.PROTOCOL_TLSv1_2)
    client.tls_insecure_set(False)
    client.connect(host, port=8883)
    client.loop_start()
    if not connected.wait(20) or result["rc"] != 0:
        print(json.dumps({"event": "refused", "seq": result.get("rc", -1)}), flush=True)
        return
    for i in range(count):
        topic = f"devices/{device}/messages/events/%24.mid=p-{i}&id={i}"
        client.publish(topic, json.dumps({"id": i}), qos=1)
    for i in range(count):
        if not acknowledged.acquire(timeout=20):
            print(json.dumps({"event": "unacknowledged", "seq": i}), flush=True)
            return
    print(json.dumps({"event": "done", "seq": count}), flush=True)
    client.disconnect()
    client.loop_stop()


if __name__ == "__main__":
    main()
