# The show of one location: units/quickstart without --fleet.
# shellcheck shell=bash disable=SC2154

# shellcheck disable=SC2034
packages=("$here/packages")
config=$dir/stekd.toml
declare -A first_key first_worker

make_instance() {
    clear_instance # of a run that was killed
    started=yes
    mkdir -m 700 "$client"
    heading "Tokens and settings in $dir"
    echo "$period" >"$state/period"
    "$stekctl" init --dir "$dir" --location quickstart --period "$period" \
        --session-timeout "$(open_window "$period")" --provider "$module" --reader www-data
    make_certificate
    make_nginx nginx "$state" 2
}
start_stekd() {
    start stekd "$stekd" --config "$config"
    local tries=0
    until [ -n "$(sealing_key "$config")" ]; do
        running stekd || die "stekd ended"
        [ $((tries += 1)) -le 300 ] || die "stekd made no key in 30 s"
        sleep 0.1
    done
    runuser -u www-data -- test -r "$dir/run/keyring" ||
        die "nginx's user cannot read $dir/run/keyring: is a directory above it closed to others?"
    print_keys
}
print_keys() { "$stekctl" status --config "$config" || true; }
await_rotation() {
    local now
    echo "waiting for the next epoch ..."
    until now=$(sealing_key "$config") && [ -n "$now" ] && [ "$now" != "$1" ] && [ "$now" != "$2" ]; do
        running stekd || die "stekd ended"
        sleep 0.2
    done
}
await_expiry() {
    [ -z "$(key_state "$config" "$1")" ] || echo "waiting until key $1 has had its time ..."
    while [ -n "$(key_state "$config" "$1")" ]; do
        running stekd || die "stekd ended"
        sleep 0.2
    done
}

tell() { printf 'TLS %s  worker %-7s %s\n' "$1" "$worker" "$2"; }

# reach_other_worker VERSION SESSION-FILE WORKER: each connection lands on either; every one must be resumed.
reach_other_worker() {
    local tries=0
    until connect "$1" "$2" none && expect Reused "TLS $1: the ticket" && [ "$worker" != "$3" ]; do
        [ $((tries += 1)) -le 50 ] || die "TLS $1: 50 connections, none on the other worker"
    done
}
# resume_and_renew VERSION SESSION-FILE OLD-KEY: a worker may take a second to see the new ring.
resume_and_renew() {
    local tries=0
    until connect "$1" "$2" none && expect Reused "TLS $1: a ticket of the old epoch" && [ "$key" != "$3" ]; do
        [ $((tries += 1)) -le 20 ] || die "TLS $1: the old ticket was resumed, but not renewed under a new key"
        sleep 0.2
    done
    [ -n "$(key_state "$config" "$key")" ] || die "TLS $1: renewed under key $key, which stekd does not know"
}

the_show() {
    local tls port window
    if running stekd && running nginx; then
        heading "The instance in $dir runs already: it is used as it is, and left running"
        keep=yes
        period=$(<"$state/period")
    else
        stop_all
        period=${period:-10}
        make_instance
        start_stekd
        heading "A stock nginx, two workers, OPENSSL_CONF=$dir/openssl.cnf"
        start_nginx nginx "$state" "$dir/openssl.cnf"
        nginx -v 2>&1
    fi
    port=$(<"$state/nginx.port")
    window=$(open_window "$period")
    echo "epochs of $period s; a key opens tickets for another $window s; then it is destroyed"

    heading "1. A full handshake gets a ticket, sealed under the epoch's key inside the token"
    for tls in 1.2 1.3; do
        connect $tls none "$client/first-$tls"
        expect New "TLS $tls: a full handshake"
        [ -n "$(key_state "$config" "$key")" ] || die "TLS $tls: stekd knows no key $key: the ticket is not under its keys"
        first_key[${tls/./}]=$key first_worker[${tls/./}]=$worker
        tell "$tls" "full handshake, ticket under key $key"
    done

    heading "2. The other worker opens it"
    for tls in 1.2 1.3; do
        reach_other_worker $tls "$client/first-$tls" "${first_worker[${tls/./}]}"
        tell "$tls" "resumed; the ticket was from worker ${first_worker[${tls/./}]}"
    done

    heading "3. A rotation: stekd makes the next epoch's key"
    await_rotation "${first_key[12]}" "${first_key[13]}"
    print_keys

    heading "4. A ticket of the old epoch is resumed, and renewed under the new key"
    for tls in 1.2 1.3; do
        resume_and_renew $tls "$client/first-$tls" "${first_key[${tls/./}]}"
        tell "$tls" "resumed with key ${first_key[${tls/./}]}, renewed under key $key"
    done

    heading "5. Its key expires and is destroyed: the ticket falls back to a full handshake"
    for tls in 1.2 1.3; do
        await_expiry "${first_key[${tls/./}]}"
        connect $tls "$client/first-$tls" "$client/last-$tls"
        expect New "TLS $tls: the expired ticket"
        [ "$key" != "${first_key[${tls/./}]}" ] || die "TLS $tls: a new ticket under an expired key"
        tell "$tls" "key ${first_key[${tls/./}]} is gone: full handshake, new ticket under key $key"
        connect $tls "$client/last-$tls" none
        expect Reused "TLS $tls: the new ticket"
        tell "$tls" "which is resumed"
    done
    print_keys

    heading "All of it was seen."
    if [ "$keep" = yes ]; then
        cat <<EOF
nginx answers on https://127.0.0.1:$port/ (any name). To give stekd's tickets to another server, start it with
OPENSSL_CONF=$dir/openssl.cnf
STEKD_CONFIG=$dir/stekd.toml
Look at the keys:  $stekctl status --config $dir/stekd.toml
Stop it all with:  $here/quickstart --stop --dir $dir
EOF
    fi
}
