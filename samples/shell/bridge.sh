# shellcheck shell=bash
# The connection of device.sh: mosquitto, which holds it as a bridge. The
# programs of the device speak to mosquitto over a socket that only its user can
# reach, and need neither TLS nor a token. While the hub is away, mosquitto keeps
# their messages and tries to reconnect.

# bridge runs mosquitto for ever, once the subscriptions of the device are there.
# A bridge can't be given a new token while it runs, so it is started again with
# one every 23 hours.
bridge() { # DIRECTORY CONNECTION-STRING CA-FILE PORT
  local dir=$1
  configure "$@"
  # All programs of the job get the signal; the job ends when mosquitto has.
  trap 'wait; exit' TERM
  while :; do
    timeout --foreground 23h mosquitto -c "$dir/bridge.conf" &
    wait $! || (($? == 124)) # 124: the time is over
    until configure "$@"; do
      sleep 60 # the hub is away; the old token is good for an hour still
    done
  done
}

# prepare runs mosquitto without the bridge while the function subscribe makes
# the subscriptions of the device. Mosquitto remembers them, so that it never
# drops what the hub sends because nobody listens yet.
prepare() { # DIRECTORY
  local dir=$1 mosquitto status=0
  cat >"$dir/local.conf" <<CONF
user $(id -un)
listener 0 $dir/socket
allow_anonymous true
persistence true
persistence_location $dir/
log_type error
log_type warning
CONF
  mosquitto -c "$dir/local.conf" &
  mosquitto=$!
  await_socket "$dir" "$mosquitto"
  subscribe || status=$?
  kill "$mosquitto"
  wait "$mosquitto" || true
  return "$status"
}

# await_socket waits until mosquitto listens; it fails when the process that runs
# it has ended, which has said why.
await_socket() { # DIRECTORY PROCESS
  until [[ -S $1/socket ]]; do
    kill -0 "$2" 2>/dev/null || return 1
    sleep 0.1
  done
}

# configure writes mosquitto's configuration, with a new token.
configure() { # DIRECTORY CONNECTION-STRING CA-FILE PORT
  local dir=$1 ca=$3 port=$4 host device token
  host=$(part HostName "$2") || return
  device=$(part DeviceId "$2") || return
  # Only a program next to the hub gets a token this way. A device elsewhere
  # makes its own, of its key: device-go shows how.
  token=$(hubgate sas --device "$device" --ttl 24h) || return
  # A file, in a directory of the user's own: the arguments of a program can be
  # seen by all users of a machine.
  cat "$dir/local.conf" - >"$dir/bridge.conf" <<CONF
connection hub
address $host:$port
bridge_cafile $ca
bridge_protocol_version mqttv311
# Mosquitto's own dialects of MQTT for bridges are not IoT Hub's.
try_private false
bridge_attempt_unsubscribe false
# On \$SYS/broker/connection/$device/state the device sees whether it is connected.
notifications true
notifications_local_only true
cleansession false
restart_timeout 1 60
remote_clientid $device
remote_username $host/$device/?api-version=2021-04-12
remote_password $token

topic devices/$device/messages/events/# out 1
topic devices/$device/messages/devicebound/# in 1
topic \$iothub/twin/GET/# out 1
topic \$iothub/twin/PATCH/properties/reported/# out 1
topic \$iothub/twin/res/# in 1
topic \$iothub/twin/PATCH/properties/desired/# in 1
topic \$iothub/methods/POST/# in 1
topic \$iothub/methods/res/# out 1
CONF
}

# part prints one part of a connection string.
part() { # NAME CONNECTION-STRING
  local rest=";$2;"
  if [[ $rest != *";$1="* ]]; then
    echo "there is no $1 in the connection string" >&2
    return 1
  fi
  rest=${rest#*";$1="}
  echo "${rest%%;*}"
}
