#!/usr/bin/env bash
# The HTTP API with curl and jq. See ../README.md.
set -euo pipefail
api=${API_URL:-http://127.0.0.1:8081}

# call METHOD PATH [BODY]: prints the answer, fails with it when the status is no success.
call() {
  curl --silent --show-error --fail-with-body --max-time 30 -X "$1" "$api$2" \
    -H "Authorization: Bearer $API_KEY" -H 'Content-Type: application/json' ${3:+--data "$3"}
}

case ${1:-} in
send) # send OPENID ID [NOT_BEFORE]
  body=$(jq -n --arg to "$2" --arg id "$3" --arg at "${4:-}" '{id: $id,
    message: {touser: $to, template_id: "sim-order-paid-T0aXc9mB3kQvR7yLwEzH1uJdGpN2", data: {
      thing1: {value: "咖啡"}, time2: {value: "2026-11-25 10:00"}, amount3: {value: "¥10.00"}}}}
    + if $at == "" then {} else {not_before: $at} end')
  call POST /v1/messages "$body" | jq -r .state ;;
poll) # poll ID: waits for the end
  while state=$(call GET "/v1/messages/$2" | jq -r .state); do
    case $state in
    delivered | rejected | expired | cancelled | unknown | dead) echo "$state"; exit ;;
    esac
    sleep 0.5
  done ;;
cancel) call DELETE "/v1/messages/$2" | jq -r .state ;;
link) call POST /v1/enroll-links "$(jq -n --arg user "$2" '{user: $user}')" | jq -r .url ;;
*) echo "usage: $0 send OPENID ID [NOT_BEFORE] | poll ID | cancel ID | link USER" >&2; exit 2 ;;
esac
