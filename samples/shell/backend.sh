#!/usr/bin/env bash
# A back-end app made of commands, with one for each conversation:
#
#   export HUBGATE_NATS=nats://127.0.0.1:4222 HUBGATE_CREDS=…/nats/backend.creds
#   samples/shell/backend.sh telemetry dev1 10
#   samples/shell/backend.sh method dev1 reboot '{"delay":5}'
#   samples/shell/backend.sh twin dev1 '{"telemetryInterval":10}'
#   samples/shell/backend.sh message dev1 'Hello, device'
#
# It uses NATS's own command line, nats, where that is installed (TOOL=nats), and
# else hubgate, which needs nothing more (TOOL=hubgate).
set -euo pipefail
if [[ -z ${TOOL:-} ]]; then
  TOOL=hubgate
  ! command -v nats >/dev/null || TOOL=nats
fi
export NATS_URL=${HUBGATE_NATS:-} NATS_CREDS=${HUBGATE_CREDS:-} # as nats calls them

usage() {
  sed -n '/^#   samples/s/^#   samples.shell.//p' "$0" >&2
  exit 2
}

# with nats: anything is a subject of NATS and a body.

telemetry_nats() { # DEVICE COUNT
  nats sub "hub.telemetry.$(token "$1")" --count "$2"
}

method_nats() { # DEVICE NAME JSON
  # nats itself must wait longer than the hub waits for the device.
  ask "hub.method.$(token "$1").$(token "$2")" "$3" --timeout 45s -H Hub-Connect-Timeout:10s
}

twin_nats() { # DEVICE [JSON]
  if [[ -n ${2:-} ]]; then
    ask "hub.twin.update.$(token "$1")" "{\"properties\":{\"desired\":$2}}" -H Hub-By:backend.sh >/dev/null
  fi
  ask "hub.twin.get.$(token "$1")" ''
}

send_nats() { # DEVICE TEXT ID
  nats pub --jetstream "hub.c2d.$(token "$1")" "$2" -H "message-id:$3" -H iothub-ack:full
}

feedback_nats() { # DEVICE
  exec nats sub --raw --stream HUB_FEEDBACK --all "hub.feedback.$(token "$1")"
}

# ask prints the answer of a service of the hub, with its headers. For nats an
# error is an answer too: the headers tell.
ask() { # SUBJECT BODY [OPTION...]
  local answer
  answer=$(nats req "$@" 2>&1) || {
    echo "$answer" >&2
    return 1
  }
  if [[ $answer == *Nats-Service-Error-Code:* ]]; then
    echo "$answer" >&2
    return 1
  fi
  echo "$answer"
}

# token writes an id as a part of a subject: =XX for every byte but those that
# NATS's subjects and keys can hold.
token() { # ID
  local LC_ALL=C text='' i c
  for ((i = 0; i < ${#1}; i++)); do
    c=${1:i:1}
    [[ $c == [A-Za-z0-9_-] ]] || printf -v c '=%02X' "'$c"
    text+=$c
  done
  echo "$text"
}

# with hubgate: it finds the hub by HUBGATE_NATS and HUBGATE_CREDS, or on this
# machine without them.

telemetry_hubgate() { # DEVICE COUNT
  hubgate telemetry tail --device "$1" -n "$2"
}

method_hubgate() { # DEVICE NAME JSON
  hubgate method invoke "$1" "$2" --payload "$3" --connect-timeout 10s
}

twin_hubgate() { # DEVICE [JSON]
  if [[ -n ${2:-} ]]; then
    hubgate twin update "$1" --desired "$2" --by backend.sh >/dev/null
  fi
  hubgate twin get "$1"
}

send_hubgate() { # DEVICE TEXT ID
  hubgate c2d send "$1" "$2" --message-id "$3" --ack full
}

feedback_hubgate() { # DEVICE
  exec hubgate c2d feedback -o json --device "$1" --from-start
}

# message sends a message and waits for what becomes of it: at the latest it has
# expired, after an hour. The feedback may be there already, so all is read.
message() { # DEVICE TEXT
  local id line
  id=backend.sh-$(date +%s)-$RANDOM
  "send_$TOOL" "$1" "$2" "$id"
  while read -r line; do
    if [[ $line == *"\"originalMessageId\":\"$id\""* ]]; then
      echo "feedback: $line"
      kill $! # it would go on
      return
    fi
  done < <("feedback_$TOOL" "$1")
  echo 'the feedback has ended' >&2
  return 1
}

case ${1:-}/$# in
telemetry/3) "telemetry_$TOOL" "$2" "$3" ;;
method/3) "method_$TOOL" "$2" "$3" null ;;
method/4) "method_$TOOL" "$2" "$3" "$4" ;;
twin/[23]) "twin_$TOOL" "${@:2}" ;;
message/3) message "$2" "$3" ;;
*) usage ;;
esac
