#!/usr/bin/env bash
# iamd beside a gRPC service with the same interface and a constant answer: iamd, null, iamd, null, ... on the same core,
# with the same generator on another. Prints each run, then medians, least, most and the ratio. See loadtest/README.md.
#
# Needs h2load (Debian: nghttp2-client), taskset and curl; works on Linux. Every setting is an environment variable:
#   IAMD, NULL          the two binaries            ROUNDS        runs of each (5)
#   POLICIES            the store iamd serves       REQUESTS      requests of a run (200000)
#   SERVER_CORE         core of the server (0)      WARM_UP       requests before a run, not counted (20000)
#   LOAD_CORE           core of h2load (1)          CONNECTIONS, STREAMS   8 x 32
#   MIN_CPU             least share of its core that the server must use for a run to count, in per cent (95)
set -euo pipefail
cd "$(dirname "$0")/.."

IAMD=${IAMD:-target/release/iamd}
NULL=${NULL:-loadtest/null/target/release/iamd-null}
POLICIES=${POLICIES:-examples/quickstart/store}
ROUNDS=${ROUNDS:-5} REQUESTS=${REQUESTS:-200000} WARM_UP=${WARM_UP:-20000}
CONNECTIONS=${CONNECTIONS:-8} STREAMS=${STREAMS:-32}
SERVER_CORE=${SERVER_CORE:-0} LOAD_CORE=${LOAD_CORE:-1} MIN_CPU=${MIN_CPU:-95}

# Ports of their own: a running iamd is left alone.
IAMD_ADDRESS=127.0.0.1:50151 ADMIN_ADDRESS=127.0.0.1:9191 NULL_ADDRESS=127.0.0.1:50161
METHOD=/iamd.v1.AuthorizationService/IsAuthorized
BODY=loadtest/requests/is-authorized.bin

work=$(mktemp -d)
server=
stop() {
  [[ -z $server ]] || { kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; }
  server=
}
trap 'stop; rm -rf "$work"' EXIT

fail() {
  echo "h2load.sh: $*" >&2
  exit 1
}

start() { # NAME: leaves the process id in $server, and returns once the port answers
  if [[ $1 == iamd ]]; then
    address=$IAMD_ADDRESS
    taskset -c "$SERVER_CORE" "$IAMD" serve --policies "$POLICIES" --listen "$IAMD_ADDRESS" \
      --admin-listen "$ADMIN_ADDRESS" >"$work/$1.log" 2>&1 &
  else
    address=$NULL_ADDRESS
    taskset -c "$SERVER_CORE" "$NULL" "$NULL_ADDRESS" >"$work/$1.log" 2>&1 &
  fi
  server=$!
  local deadline=$((SECONDS + 10))
  until (exec 3<>"/dev/tcp/${address/:/\/}") 2>/dev/null; do
    kill -0 "$server" 2>/dev/null || fail "$1 ended: $(tail -n 3 "$work/$1.log")"
    ((SECONDS < deadline)) || fail "$1 does not listen on $address after 10 s"
    sleep 0.05
  done
}

# The body that h2load sends, sent once, so that the answer can be read: framing, then field 1 (the decision), 1 to 3.
check_answer() { # NAME
  local bytes
  bytes=$(curl --silent --show-error --max-time 5 --http2-prior-knowledge -H 'content-type: application/grpc' \
    -H 'te: trailers' --data-binary "@$BODY" "http://$address$METHOD" | od -An -v -tx1 | tr -d ' \n')
  case $bytes in
    00????????0801*) echo "$1 answers ALLOW" ;;
    00????????080[23]*) fail "$1 denies the request, which the quickstart store allows" ;;
    *) fail "$1 gives no decision: \`$bytes\`" ;;
  esac
}

generate() { # COUNT
  taskset -c "$LOAD_CORE" h2load -n "$1" -c "$CONNECTIONS" -m "$STREAMS" -d "$BODY" \
    -H 'content-type: application/grpc' -H 'te: trailers' "http://$address$METHOD" >"$work/h2load" 2>&1 ||
    fail "h2load: $(tail -n 3 "$work/h2load")"
  grep -q "^status codes: $1 2xx," "$work/h2load" || fail "not all answers are 2xx: $(grep '^status codes' "$work/h2load")"
}

cpu_ticks() { # user and system time of the server; what stands behind the ")" of the name is position 3
  sed 's/^.*) //' "/proc/$server/stat" | awk '{ print $12 + $13 }'
}

# h2load looks at HTTP's status only. gRPC's own stands in a trailer, and in iamd's counters.
check_counters() {
  curl --silent --show-error --max-time 5 "http://$ADMIN_ADDRESS/metrics" >"$work/metrics"
  awk -v want=$((REQUESTS + WARM_UP + 1)) '
    /^grpc_server_handled_total\{/ && /grpc_method="IsAuthorized"/ { if (/grpc_code="OK"/) ok += $2; else other += $2 }
    /^iamd_cache_requests_total\{/ && /result="hit"/ { hits += $2 }
    END {
      if (ok != want || other > 0) { printf "%d calls ended OK and %d otherwise, of %d sent\n", ok, other, want >"/dev/stderr"; exit 1 }
      printf "%.1f %% cache hits\n", 100 * hits / want
    }' "$work/metrics" || fail "iamd's counters do not agree with what was sent"
}

measure() { # NAME ROUND: one line to the terminal; a run that counts, also to $work/NAME
  local before after began ended ticks rate share note=
  start "$1"
  check_answer "$1" >"$work/answer"
  generate "$WARM_UP"
  before=$(cpu_ticks) began=$(date +%s%N)
  generate "$REQUESTS"
  ended=$(date +%s%N) after=$(cpu_ticks)
  ticks=$(getconf CLK_TCK)
  rate=$(sed -n 's|^finished in .*, \([0-9.]*\) req/s.*|\1|p' "$work/h2load")
  share=$(awk -v t=$((after - before)) -v hz="$ticks" -v ns=$((ended - began)) 'BEGIN { printf "%.0f", 100 * t / hz / (ns / 1e9) }')
  if ((share < MIN_CPU)); then note="not counted: the server was idle"; else echo "$rate" >>"$work/$1"; fi
  [[ $1 != iamd ]] || note="${note:+$note, }$(check_counters)"
  printf '%5d  %-4s  %10.0f req/s  server %3d %% of its core  %s\n' "$2" "$1" "$rate" "$share" "$note"
  stop
}

summary() { # NAME: "median least most" of the runs that count
  sort -n "$work/$1" | awk '{ v[NR] = $1 } END { m = int((NR + 1) / 2); n = int(NR / 2) + 1; printf "%.0f %.0f %.0f\n", (v[m] + v[n]) / 2, v[1], v[NR] }'
}

for tool in h2load taskset curl; do command -v "$tool" >/dev/null || fail "$tool is not installed"; done
for file in "$IAMD" "$NULL" "$BODY"; do [[ -r $file ]] || fail "$file is missing; loadtest/README.md says how to build it"; done

echo "$CONNECTIONS connections x $STREAMS streams, $REQUESTS requests a run, server on core $SERVER_CORE, h2load on core $LOAD_CORE"
for ((round = 1; round <= ROUNDS; round++)); do
  measure iamd "$round"
  measure null "$round"
done

for name in iamd null; do
  [[ -s $work/$name ]] || fail "no run of $name counts: the server never used $MIN_CPU % of its core"
  summary "$name" >"$work/$name.summary"
  read -r median least most <"$work/$name.summary"
  printf '%-4s  median %8d req/s  least %8d  most %8d  (%d of %d runs)\n' \
    "$name" "$median" "$least" "$most" "$(wc -l <"$work/$name")" "$ROUNDS"
done
awk 'NR == FNR { i = $1; next } { printf "iamd / null: %.2f (medians)\n", i / $1 }' "$work/iamd.summary" "$work/null.summary"
