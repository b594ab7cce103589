"""A bare MQTT subscriber: the bridge's client as its documentation shows it, which counts and acknowledges.

Usage: python -m benchmarks.bridge_bare PORT CLIENT_ID FILTER COUNT RECEIVE_MAXIMUM
Prints one JSON object: `messages`, `seconds` between the first and the last of them, `cpu_s`, `peak_rss_mb`.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties


def main(port: int, client_id: str, topic_filter: str, count: int, receive_maximum: int) -> None:
    received, begin_s, end_s, begin_cpu_s = 0, 0.0, 0.0, 0.0

    def on_message(client: paho.Client, _userdata: Any, _message: paho.MQTTMessage) -> None:
        nonlocal received, begin_s, end_s, begin_cpu_s
        if received == 0:
            begin_s, begin_cpu_s = time.perf_counter(), time.process_time()
        received += 1
        if received == count:
            end_s = time.perf_counter()
            client.disconnect()

    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = 3_600
    properties.ReceiveMaximum = receive_maximum
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id, protocol=paho.MQTTv5)
    client.on_message = on_message
    client.on_connect = lambda *_: client.subscribe(topic_filter, qos=1)
    client.connect("127.0.0.1", port, clean_start=False, properties=properties)
    client.loop_forever()
    figures = {
        "messages": received,
        "seconds": end_s - begin_s,
        "cpu_s": time.process_time() - begin_cpu_s,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
