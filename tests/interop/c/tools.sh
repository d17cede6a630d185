#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The command-line tools of rabbitmq-c (Debian: amqp-tools) as somebody would use them in a shell.
# One line per check; exits 1 if any failed.
set -u

server=(--server="$AMQP_HOST" --port="$AMQP_PORT" --username="$AMQP_USER"
        --password="$AMQP_PASSWORD" --vhost="$AMQP_VHOST")
prefix="interop-tools-$$"
scratch=$(mktemp -d)
failed=0

finish() {
  timeout 20 amqp-delete-queue "${server[@]}" --queue="$prefix-q" >"$scratch/finish" 2>&1 ||
    [ "$failed" = 1 ] || { cat "$scratch/finish"; failed=1; }
  rm -rf "$scratch"
  exit "$failed"
}
trap finish EXIT

check() {  # check NAME EXPECTED ACTUAL
  if [ "$2" = "$3" ]; then
    echo "ok tools-$1"
  else
    echo "not ok tools-$1: expected '$2', got '$3'"
    failed=1
  fi
}

tool() { timeout 20 "$@" 2>&1; }

check declare-queue "$prefix-q" "$(tool amqp-declare-queue "${server[@]}" --queue="$prefix-q")"

named=$(tool amqp-declare-queue "${server[@]}" --queue="")
check declare-server-named-queue "amq.gen-" "${named:0:8}"
check delete-server-named-queue "0" "$(tool amqp-delete-queue "${server[@]}" --queue="$named")"

tool amqp-publish "${server[@]}" --routing-key="$prefix-q" --body="one" >"$scratch/publish"
check publish-succeeds "0" "$?"
check get-prints-the-body "one" "$(tool amqp-get "${server[@]}" --queue="$prefix-q")"
tool amqp-get "${server[@]}" --queue="$prefix-q" >"$scratch/get"
check get-from-an-empty-queue-exits-2 "2" "$?"

# --line-buffered publishes each line of the input as a message of its own.
printf 'first\nsecond\nthird\n' |
  tool amqp-publish "${server[@]}" --routing-key="$prefix-q" --line-buffered >"$scratch/publish"
check publish-lines-succeeds "0" "$?"
check consume-in-order "$(printf 'first\nsecond\nthird')" \
  "$(tool amqp-consume "${server[@]}" --queue="$prefix-q" --count=3 --prefetch-count=1 cat)"
tool amqp-get "${server[@]}" --queue="$prefix-q" >"$scratch/get"
check consume-acknowledged-all "2" "$?"

# A consumer of its own (server-named, exclusive) queue, bound to an exchange. The command that it
# runs for the first message writes a file; publishing goes on until the binding is there.
mkfifo "$scratch/received"
timeout 20 amqp-consume "${server[@]}" --exchange=amq.topic --routing-key="$prefix.#" --count=1 \
  tee "$scratch/copy" >"$scratch/received" 2>"$scratch/consume.err" &
consumer=$!
( while kill -0 "$consumer" 2>/dev/null; do
    tool amqp-publish "${server[@]}" --exchange=amq.topic --routing-key="$prefix.a.b" --body=topic \
      >"$scratch/publish"
  done ) &
publisher=$!
check consume-by-binding "topic" "$(cat "$scratch/received")"
wait "$consumer"
check consume-by-binding-exits-0 "0" "$?"
wait "$publisher"

head -c 1000000 /dev/urandom >"$scratch/large"
tool amqp-publish "${server[@]}" --routing-key="$prefix-q" --persistent <"$scratch/large" \
  >"$scratch/publish"
timeout 20 amqp-get "${server[@]}" --queue="$prefix-q" >"$scratch/copy"
cmp "$scratch/large" "$scratch/copy"
check binary-body-survives "0" "$?"

refused=$(tool amqp-get "${server[@]}" --password=wrong --queue="$prefix-q")
check wrong-password-is-403 "403" "$(grep -o '\b403\b' <<<"$refused" | head -n 1)"
missing=$(tool amqp-get "${server[@]}" --queue="$prefix-missing")
check missing-queue-is-404 "404" "$(grep -o '\b404\b' <<<"$missing" | head -n 1)"

tool amqp-publish "${server[@]}" --routing-key="$prefix-q" --body="left over" >"$scratch/publish"
check delete-queue-prints-the-count "1" \
  "$(tool amqp-delete-queue "${server[@]}" --queue="$prefix-q")"
