#!/usr/bin/env bash
# Runs every example whose language is installed, against `wxnotify serve` with a simulated
# WeChat: examples/run.sh [curl go python node java php]
# WXNOTIFY is the program to use; without it, it is built. Needs redis-server, curl and openssl.
set -euo pipefail
cd "$(dirname "$0")"
dir=$(mktemp -d)
pids=()
cleanup() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  rm -rf "$dir"
}
trap cleanup EXIT

free_port() { # of the loopback, below those that Linux gives to clients; each once
  local port
  while port=$((20000 + RANDOM % 12000)); do
    mkdir "$dir/port-$port" 2>/dev/null || continue
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
  done
}
answers() { # answers URL: waits until something listens there
  for _ in $(seq 1200); do
    curl --silent --output /dev/null "$1" && return
    sleep 0.1
  done
  echo "nothing listens at $1" >&2
  cat "$dir"/*.log >&2
  exit 1
}

wxnotify=${WXNOTIFY:-}
if [ -z "$wxnotify" ]; then
  wxnotify=$dir/wxnotify
  go build -o "$wxnotify" ../cmd/wxnotify
fi
redis=$(free_port) sim=$(free_port) api=$(free_port)
redis-server --port "$redis" --save '' --appendonly no --dir "$dir" >"$dir/redis.log" & pids+=($!)
"$wxnotify" simulate --addr "127.0.0.1:$sim" >"$dir/simulate.log" 2>&1 & pids+=($!)
export WXNOTIFY_REDIS_URL=redis://127.0.0.1:$redis/0 WXNOTIFY_APPID=wxsim0000000000001
export WXNOTIFY_APPSECRET=0123456789abcdef0123456789abcdef WXNOTIFY_WECHAT_BASE_URL=http://127.0.0.1:$sim
answers "http://127.0.0.1:$sim/"
until [ "$(redis-cli -p "$redis" ping 2>/dev/null)" = PONG ]; do sleep 0.1; done
WXNOTIFY_PUBLIC_URL=http://127.0.0.1:8080 WXNOTIFY_PUBLIC_ADDR=127.0.0.1:$(free_port) WXNOTIFY_OPS_ADDR=- \
  WXNOTIFY_ENROLL_KEY=an-example-key-of-32-bytes-or-more WXNOTIFY_API_ADDR=127.0.0.1:$api \
  "$wxnotify" serve >"$dir/serve.log" 2>&1 & pids+=($!)
answers "http://127.0.0.1:$api/healthz"
export API_URL=http://127.0.0.1:$api
API_KEY=$("$wxnotify" api keys create --name examples --scopes send,read,enroll -o json | grep -o 'wxn_live_[A-Za-z0-9_-]*' | head -n 1)
export API_KEY
WEBHOOK_SECRET=whsec_$(openssl rand -base64 24)
export WEBHOOK_SECRET

example() { # example LANGUAGE ARGUMENT...
  local language=$1
  shift
  case $language in
  curl) curl/wxnotify.sh "$@" ;;
  go) "$dir/example-go" "$@" ;;
  python) python3 python/wxnotify.py "$@" ;;
  node) node node/wxnotify.mjs "$@" ;;
  java) java -cp "$dir" Wxnotify "$@" ;;
  php) php php/wxnotify.php "$@" ;;
  esac
}
expect() { # expect LANGUAGE WANT ARGUMENT...: what an example prints
  local language=$1 want=$2 got
  shift 2
  got=$(example "$language" "$@") || true
  # shellcheck disable=SC2053 # WANT is a pattern
  [[ $got == $want ]] || { echo "$language $*: printed '$got', want '$want'" >&2; cat "$dir/serve.log" >&2; exit 1; }
}

event='{"type":"message.delivered","data":{"id":"order-1001-paid"}}'
push() { # push PORT TIMESTAMP BODY: signs $event, sends BODY; prints the status
  local key signature
  key=$(printf %s "${WEBHOOK_SECRET#whsec_}" | base64 -d | od -An -v -tx1 | tr -d ' \n')
  signature=$(printf 'msg_1.%s.%s' "$2" "$event" | openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | base64)
  curl --silent --output /dev/null --write-out '%{http_code}' "http://127.0.0.1:$1/" -H 'Content-Type: application/json' \
    -H 'webhook-id: msg_1' -H "webhook-timestamp: $2" -H "webhook-signature: v1,AAAA v1,$signature" --data "$3"
}
webhook() { # webhook LANGUAGE: signed, altered, and old
  local port now got
  port=$(free_port) now=$(date +%s)
  case $1 in
  php) php -S "127.0.0.1:$port" php/wxnotify.php >"$dir/$1.log" 2>&1 & pids+=($!) ;;
  go) "$dir/example-go" webhook "$port" >"$dir/$1.log" 2>&1 & pids+=($!) ;;
  python) python3 python/wxnotify.py webhook "$port" >"$dir/$1.log" 2>&1 & pids+=($!) ;;
  node) node node/wxnotify.mjs webhook "$port" >"$dir/$1.log" 2>&1 & pids+=($!) ;;
  java) java -cp "$dir" Wxnotify webhook "$port" >"$dir/$1.log" 2>&1 & pids+=($!) ;;
  esac
  answers "http://127.0.0.1:$port/"
  got="$(push "$port" "$now" "$event") $(push "$port" "$now" "${event/1001/1002}") $(push "$port" $((now - 600)) "$event")"
  [ "$got" = '204 401 401' ] || { echo "$1 webhook: $got, want 204 401 401" >&2; cat "$dir/$1.log" >&2; exit 1; }
  grep -q message.delivered "$dir/$1.log" || { echo "$1 webhook: the event is not printed" >&2; exit 1; }
}

[ $# -gt 0 ] || set -- curl go python node java php
for language; do
  case $language in python) program=python3 ;; curl) program=jq ;; java) program=javac ;; *) program=$language ;; esac
  if ! command -v "$program" >/dev/null; then
    echo "$language: not run, $program is not installed"
    continue
  fi
  case $language in go) (cd go && go build -o "$dir/example-go" .) ;; java) javac -encoding UTF-8 -d "$dir" java/Wxnotify.java ;; esac
  expect "$language" queued send wxn-sim-delivered "$language-1"
  expect "$language" delivered poll "$language-1"
  expect "$language" delivered send wxn-sim-delivered "$language-1"
  expect "$language" scheduled send wxn-sim-delivered "$language-2" "$(date -u -d '+1 hour' +%Y-%m-%dT%H:%M:%SZ)"
  expect "$language" cancelled cancel "$language-2"
  expect "$language" 'http://127.0.0.1:8080/enroll/wxsim0000000000001?ticket=*' link "patient-$language"
  [ "$language" = curl ] || webhook "$language"
  echo "$language: passed"
done
