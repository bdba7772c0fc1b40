#!/usr/bin/env bash
# A served estate, driven by what every machine has: curl, mosquitto's clients and a socket.
set -euo pipefail
json() { python3 -c "import json, sys; print(json.dumps(json.load(sys.stdin)$1))" | tr -d '"'; }

# Serve the demo street on free ports, with a broker inside. The clock stands until somebody steps it.
exec 3< <(exec smets1 serve --port 0 --control-port 0 --speed 0 --mqtt embedded 2> serve.log)
server=$!
trap 'kill "$server" || true; wait "$server" || true' EXIT
read -r -t 60 ready <&3
port=$(json '["port"]' <<< "$ready") http=$(json '["http"]' <<< "$ready") token=$(json '["token"]' <<< "$ready")
get() { curl -sS --fail-with-body -m 60 -H "Authorization: Bearer $token" "$http/v1/$1"; }
post() { curl -sS --fail-with-body -m 60 -H "Authorization: Bearer $token" -d "${2-}" "$http/v1/$1"; }

echo "homes: $(get 'installations?count=1' | json '["total"]')"
post step-clock '{"seconds": 43200}' > /dev/null
echo "noon: $(get clock | json '["time"]')"

# Wake a hub by short message, read over the air, press a button at the wall, look at the switch.
post installations/1/wake-up > /dev/null
echo "meter's clock: $(post installations/1/electricity/read-object '{"what": "clock"}' | json '["time"]')"
switch() { get installations/1/state | json '["devices"][1]["auxiliary"][1]["on"]'; }
post installations/1/electricity/press-boost '{"switch": 2, "minutes": 30}' > /dev/null
echo "boosted: $(switch)"
post step-clock '{"seconds": 1860}' > /dev/null
echo "half an hour later: $(switch)"

# The core link fails, and nobody answers (504). It heals, and the same question is answered.
register=(installations/1/electricity/read-object '{"what": "import"}')
post fail-link '{"seconds": 86400}' > /dev/null
answer=$(post "${register[@]}" 2> /dev/null || true)
echo "link down: $(json '["error"]' <<< "$answer")"
post heal-link > /dev/null
echo "link up: $(post "${register[@]}" | json '["plain"]') Wh"

# Was it so, once, and nothing else about any switch? And the journal, as it is written.
echo "verified: $(post verify '{"only": ["auxiliary."], "expect": [
  {"kind": "auxiliary.held", "installation": 1, "detail": [2, true, 30]}]}' | json '["fulfilled"]')"
get 'journal/events?since=0&kind=auxiliary.&limit=1' | grep '^data:'

# The same commands on topics. The subscriber's first visit makes the broker keep for it what comes meanwhile.
mqtt=(-h 127.0.0.1 -p "$(json '["mqtt"]["broker"]' <<< "$ready" | cut -d: -f3)" -u smets1 -q 1)
mqtt+=(-P "$(json '["mqtt"]["password"]' <<< "$ready")")
root=$(json '["mqtt"]["prefix"]' <<< "$ready") meter=installations/1/electricity
hear=(mosquitto_sub "${mqtt[@]}" -i me -c -t "$root/answer/+" -t "$root/alarm/1/+/+")
"${hear[@]}" -E
mosquitto_pub "${mqtt[@]}" -t "$root/command/$meter/set-auxiliary" \
  -m '{"request": "heat", "switch": 1, "state": "on", "minutes": 60}'
"${hear[@]}" -C 1 -W 30
mosquitto_pub "${mqtt[@]}" -t "$root/command/$meter/raise-alert" -m '{"request": "low", "code": 36637}'
"${hear[@]}" -C 2 -W 30 -F '%t' | sort

# And the meter itself on a socket: as public client (SAP 16) associate, and read the invocation counter.
exec 4<> "/dev/tcp/127.1.0.2/$port"
say() { printf "$(sed 's/../\\x&/g' <<< "$1")" >&4; }
answered() { head -c "$1" <&4 | od -An -v -tx1 | tr -d ' \n'; }
say 000100100002001f601da109060760857405080101be10040e01000000065f1f0400405e9d0400
echo "associated: $(answered 51 | cut -c 17-)"
say 000100100002000dc001c1000100002b0100ff0200
echo "counter: $((16#$(answered 17 | tail -c 8)))"
