#!/usr/bin/env bash
# A device made of mosquitto's programs: telemetry, twin, direct methods and
# cloud-to-device messages.
#
#   export IOTHUB_DEVICE_CONNECTION_STRING='HostName=…;DeviceId=…;SharedAccessKey=…'
#   samples/shell/device.sh ca.pem [PORT]
#
# A device has one connection, and a second one of the same id ends the first. So
# the connection is that of a mosquitto of its own (bridge.sh), and every
# conversation is held by way of that. It needs bash 4.4, mosquitto with its
# clients, jq, timeout, and hubgate for the token.
set -euo pipefail
PATH=$PATH:/usr/sbin # where Debian keeps mosquitto
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=bridge.sh
source "$here/bridge.sh"
# shellcheck source=conversations.sh
source "$here/conversations.sh"

ca=${1:?the first argument is the file of the authority of the hub, ca.pem}
port=${2:-8883}
connection_string=${IOTHUB_DEVICE_CONNECTION_STRING:?set it to the connection string of the device}
device=$(part DeviceId "$connection_string")

# The directory is its user's alone: it holds the token, and whoever reaches the
# socket is the device.
dir=$(mktemp -d)
groups=()
# shellcheck disable=SC2329 # the trap calls it
finish() {
  trap '' INT TERM
  exec 2>/dev/null # the shell would tell of every job that it ends
  for group in "${groups[@]}"; do
    kill -- "-$group" 2>/dev/null || true # with all the programs that it runs
  done
  # What prepare has begun is no group yet.
  # shellcheck disable=SC2046 # these are numbers
  kill $(jobs -p) || true
  wait
  rm -rf "$dir"
}
trap finish EXIT
trap 'exit 0' INT TERM # Ctrl-C is how one ends it

prepare "$dir"
set -m # a process group for each job
bridge "$dir" "$connection_string" "$ca" "$port" &
groups+=($!)
await_socket "$dir" "${groups[0]}"
for conversation in twin methods messages telemetry; do
  "$conversation" &
  groups+=($!)
done
# None of them ends by itself. When one does, the device ends, and whoever has
# started it starts it again.
wait -n || true
echo 'device.sh: a part of the device has ended' >&2
exit 1
