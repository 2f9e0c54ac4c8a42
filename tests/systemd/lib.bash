# Cases for a booted container. A case is a function, run in a subshell under `set -e`; one line is printed for it.
# shellcheck shell=bash disable=SC2001,SC2035

passed=0 failed=0
run_case() { # NAME: the function of that name
    local code output
    set +e
    output=$(set -e && "$1" 2>&1)
    code=$?
    if [ $code -eq 0 ]; then
        passed=$((passed + 1))
        echo "ok    $1"
    else
        failed=$((failed + 1))
        echo "FAIL  $1"
        sed 's/^/        /' <<<"$output"
        journalctl --no-pager --lines=25 --output=short-monotonic | sed 's/^/        | /'
    fi
}
after_case() { :; } # a script may have another
run_cases() {
    local name
    for name in "$@"; do
        run_case "$name"
        after_case
    done
}
# As Boost.Test's short report says it: tests/count_results reads that. The script's exit code.
finish() {
    echo "$passed test cases out of $((passed + failed)) passed"
    [ $failed -eq 0 ] && exit 0
    echo "$failed test cases out of $((passed + failed)) failed"
    exit 1
}

fails() {
    echo "$*"
    return 1
}
# `!` would do nothing under `set -e`.
not() { if "$@"; then fails "succeeded: $*"; fi; }
# equal WHAT SEEN EXPECTED
equal() { [ "$2" = "$3" ] || fails "$1: expected '$3', saw '$2'"; }
matches() { [[ $2 =~ $3 ]] || fails "$1: '$2' does not match '$3'"; }
# await SECONDS COMMAND...: tried until it succeeds.
await() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || fails "in vain: $*" || return 1
        sleep 0.1
    done
}

# --- stekd ---

live=/run/stekd/live
property() { systemctl show --value --property "$1" "${2:-stekd.service}"; }
is_property() { [ "$(property "$1")" = "$2" ]; }
is_active() { systemctl is-active --quiet "${1:-stekd.service}"; }
ring_is_there() { [ -s $live/keyring ]; }
# What identifies the ticket token: SoftHSM names its directory by a UUID.
ticket_token() { (cd $live/tokens && ls -d ????????-*); }
status_json() { stekctl status --json; }
ring_keys() { status_json | python3 -c 'import json, sys; print(*[k["name"] for k in json.load(sys.stdin)["keys"]])'; }
# The messages of stekd since CURSOR.
journal_since() { journalctl --no-pager --output=cat --unit stekd.service --after-cursor "$1"; }
journal_end() { journalctl --no-pager --lines=0 --show-cursor | sed -n 's/^-- cursor: //p'; }
said_since() { journal_since "$1" | grep -qF -- "$2"; }
install_stekd() { "$STEK_TREE/units/install" --build "$STEK_BUILD" --location test "$@"; }
