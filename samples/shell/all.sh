#!/usr/bin/env bash
# All four conversations, each from both ends: device.sh in the background, and
# one command of backend.sh after another.
#
#   export IOTHUB_DEVICE_CONNECTION_STRING='HostName=…;DeviceId=…;SharedAccessKey=…'
#   export HUBGATE_NATS=nats://127.0.0.1:4222 HUBGATE_CREDS=…/nats/hub.creds
#   samples/shell/all.sh ca.pem [PORT]
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
id=${IOTHUB_DEVICE_CONNECTION_STRING:?set it to the connection string of the device}
id=${id#*DeviceId=}
id=${id%%;*}

converse() {
  "$here/backend.sh" telemetry "$id" 1
  "$here/backend.sh" method "$id" reboot '{"delay":1}'
  "$here/backend.sh" twin "$id" '{"telemetryInterval":2}'
  "$here/backend.sh" message "$id" 'Hello, device'
  "$here/backend.sh" telemetry "$id" 2
  "$here/backend.sh" twin "$id"
}

set -m # a process group for each job
"$here/device.sh" "$@" &
device=$!
converse &
backend=$!
# When all is said, the device is stopped as by Ctrl-C, and has some time to end.
finish() {
  exec 2>/dev/null # the shell would tell of every job that it ends
  kill -- "-$backend" || true
  kill "$device" || true
  wait || true
}
trap finish EXIT
trap 'exit 1' INT TERM
# A device that ends before all is said has failed, and would be waited for in vain.
wait -n "$device" "$backend"
