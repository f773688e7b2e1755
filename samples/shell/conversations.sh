# shellcheck shell=bash
# The four conversations of device.sh. Each is a function that runs for ever, by
# the socket in $dir, as the device $device.
# shellcheck disable=SC2016,SC2154 # a $ in a topic is none of the shell's; device.sh sets the two

# telemetry sends a message every few seconds. Mosquitto has it when mosquitto_pub
# returns, and keeps it until the hub has stored it.
telemetry() {
  local n body topic="devices/$device/messages/events/%24.ct=application%2Fjson&%24.ce=utf-8&level=info"
  for ((n = 0; ; n++)); do
    body=$(jq -nc --argjson n "$n" --argjson t "20.$((RANDOM % 10))" '{n: $n, temperature: $t}')
    publish "$topic" "$body"
    echo "sent: $body"
    sleep "$(interval)"
  done
}

interval() { # the seconds between two messages, as they are in force
  cat "$dir/interval" 2>/dev/null || echo 5
}

# twin does what the desired properties say, and reports what has become of the
# device. It asks for the whole twin when it hears of a change, so that their
# order does not matter, and after each connection, for nobody tells a device
# what has changed while it was away.
twin() {
  local line topic payload
  while read -r line; do
    topic=$(field topic "$line") payload=$(field payload "$line")
    case $topic in
    '$SYS/broker/connection/'*)
      if ((payload == 1)); then
        echo "connected as $device"
        publish '$iothub/twin/GET/?$rid=get' ''
      fi
      ;;
    '$iothub/twin/PATCH/properties/desired/'*)
      echo "desired: $payload"
      publish '$iothub/twin/GET/?$rid=get' ''
      ;;
    '$iothub/twin/res/200/?$rid=get'*) apply "$payload" ;;
    '$iothub/twin/res/204/?$rid=report'*) echo 'the hub has what was reported' ;;
    '$iothub/twin/res/'*) echo "the hub answers $topic: $payload" >&2 ;;
    esac
  done < <(listen twin)
}

# apply takes over a twin, {"desired":{…},"reported":{…}}. A back end may have
# written anything.
apply() { # TWIN
  local wanted
  wanted=$(jq -c '.desired.telemetryInterval // empty' <<<"$1")
  if [[ $wanted =~ ^[0-9]{1,5}$ && $wanted -ge 1 && $wanted -le 86400 ]]; then
    echo "$wanted" >"$dir/interval"
  elif [[ -n $wanted ]]; then
    echo "telemetryInterval is a whole number of seconds from 1 to 86400, not $wanted" >&2
  fi
  report "$(jq -nc --argjson i "$(interval)" '{firmware: "1.0.0", telemetryInterval: $i}')"
}

report() { # JSON
  echo "reported: $1"
  publish '$iothub/twin/PATCH/properties/reported/?$rid=report' "$1"
}

# methods answers calls, which come on $iothub/methods/POST/{name}/?$rid={id}.
methods() {
  local line name id
  while read -r line; do
    IFS=/ read -r _ _ _ name id <<<"$(field topic "$line")"
    id=${id#*'$rid='}
    case $name in
    reboot) reboot "$id" "$(field payload "$line")" ;;
    *) answer "$id" 404 "$(jq -nc --arg name "$name" '{error: "there is no method \($name)"}')" ;;
    esac
    echo "method: $name"
  done < <(listen methods)
}

reboot() { # ID PAYLOAD
  local delay
  # Numbers from 0 to 3600 pass, and no payload, or one without a delay, is 0.
  if ! delay=$(jq -e 'if type == "object" then .delay // 0 else 0 end |
      select(type == "number" and . >= 0 and . <= 3600)' <<<"${2:-null}" 2>/dev/null); then
    answer "$1" 400 '{"error":"the payload is {\"delay\":n}, with n from 0 to 3600 seconds"}'
    return
  fi
  # The answer comes before the deed: a device that restarts answers nobody.
  answer "$1" 200 "{\"rebootingIn\":$delay}"
  {
    sleep "$delay"
    echo rebooting # your device does it here
    report "{\"lastReboot\":\"$(date -u +%FT%TZ)\"}"
  } &
}

answer() { # ID STATUS BODY
  publish "\$iothub/methods/res/$2/?\$rid=$1" "$3"
}

# messages prints cloud-to-device messages. For the hub they are complete when
# mosquitto has them.
messages() {
  local line topic
  while read -r line; do
    topic=$(field topic "$line")
    echo "message: $(field payload "$line") $(decode "${topic#*/devicebound/}")"
  done < <(listen messages)
}

decode() { # TEXT, percent-encoded
  local text=${1//\\/\\\\}
  printf '%b' "${text//%/\\x}"
}

# publish has mosquitto take a message; it may just be starting again.
publish() { # TOPIC BODY
  until mosquitto_pub --unix "$dir/socket" -q 1 -t "$1" -m "$2"; do
    sleep 1
  done
}

# listen prints the messages for a conversation, each as one line of JSON. With
# -c the subscription stays while mosquitto or mosquitto_sub is not there.
listen() { # CONVERSATION [OPTION OF MOSQUITTO_SUB]
  local -a topics
  case $1 in
  twin) topics=(-t '$iothub/twin/PATCH/properties/desired/#' -t '$iothub/twin/res/#' -t '$SYS/broker/connection/+/state') ;;
  methods) topics=(-t '$iothub/methods/POST/#') ;;
  messages) topics=(-t "devices/$device/messages/devicebound/#") ;;
  esac
  mosquitto_sub --unix "$dir/socket" -i "$1" -c -q 1 -F %j "${topics[@]}" "${@:2}"
}

# subscribe makes the subscriptions and ends.
subscribe() {
  listen twin -E && listen methods -E && listen messages -E
}

field() { # NAME LINE
  jq -r --arg name "$1" '.[$name]' <<<"$2"
}
