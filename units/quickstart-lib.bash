# The parts of units/quickstart. Uses its variables: root, prefix, dir, period, keep.
# shellcheck shell=bash disable=SC2154

state=$dir/quickstart # our own files
# A file that only quickstart writes, when it has made the directory itself: all else is somebody else's.
mark=$dir/.made-by-stekd-quickstart
mark_text='units/quickstart of stekd made this directory, and removes it.'
client=$state/client
declare -A first_key first_worker

heading() { printf '\n== %s\n' "$*"; }

# --- the instance: directory, processes ---

# Only a directory that is new or ours is used, and by one quickstart at a time.
take_instance_directory() {
    if [ ! -e "$dir" ] && [ ! -L "$dir" ]; then
        [ "$stop" = no ] || { echo "nothing to stop in $dir" && exit 0; }
        mkdir -p "$(dirname "$dir")"
        # Fails if somebody else has made it meanwhile.
        mkdir -m 755 "$dir" || die "cannot make $dir"
        echo "$mark_text" >"$mark"
    fi
    is_ours || die "$dir was not made by quickstart: choose a --dir that is not there yet"
    exec 9<"$dir"
    flock -n 9 || die "another quickstart is at work in $dir"
    mkdir -p "$state"
}
is_ours() {
    [ -d "$dir" ] && [ ! -L "$dir" ] && [ -O "$dir" ] && [ -f "$mark" ] && [ ! -L "$mark" ] && [ -O "$mark" ] &&
        [ "$(cat "$mark")" = "$mark_text" ]
}
# By name what `stekctl init` and we make; a directory that holds more stays, and is said to.
clear_instance() {
    local part
    for part in softhsm2.conf stekd.toml openssl.cnf pins tokens state run; do
        rm -rf "${dir:?}/$part"
    done
    find "$state" -mindepth 1 -delete
}
remove_instance() {
    clear_instance
    rmdir "$state"
    rm -f "$mark"
    rmdir "$dir" || die "$dir holds something that quickstart did not make: it stays"
}

# What each of our processes is known by in its command line: a pid alone may be somebody else's by now.
signature() {
    case $1 in
        stekd) echo "$dir/stekd.toml" ;;
        nginx) echo "$state/nginx.conf" ;;
    esac
}
running() {
    local pid
    pid=$(cat "$state/$1.pid" 2>/dev/null) && [ -n "$pid" ] &&
        { tr '\0' ' ' <"/proc/$pid/cmdline" | grep -qF -- "$(signature "$1")"; } 2>/dev/null
}

stop_one() {
    local pid tries=0
    running "$1" || return 0
    pid=$(<"$state/$1.pid")
    kill -TERM "$pid"
    while running "$1"; do
        [ $((tries += 1)) -le 100 ] || kill -KILL "$pid"
        sleep 0.1
    done
}
stop_all() {
    stop_one nginx
    stop_one stekd
}

finish() {
    trap - EXIT
    if [ "$1" -ne 0 ]; then
        echo
        for log in stekd.log nginx.log; do
            [ -s "$state/$log" ] && echo "--- the end of $log" && tail -n 20 "$state/$log"
        done
        echo "quickstart failed" >&2
    fi
    # An instance that was running before us (keep=yes) stays, whatever we saw of it.
    if [ "$keep" = no ] || { [ "$1" -ne 0 ] && [ "${started:-no}" = yes ]; }; then
        stop_all
        remove_instance
    fi
    exit "$1"
}

build_and_install() {
    local build=$root/build-quickstart
    mkdir -p "$build"
    exec 8<"$build"
    flock 8 # one build at a time
    # Another compiler's warnings are no reason not to install. Without dpkg-dev, meson does not find the triplet.
    local options=(-Dprefix="$prefix" -Dlibdir="lib/$(g++ -print-multiarch)" -Dtests=false -Dwerror=false)
    if [ -f "$build/build.ninja" ]; then
        meson configure "$build" "${options[@]}" >/dev/null
    else
        meson setup "$build" "$root" "${options[@]}"
    fi
    meson compile -C "$build"
    meson install -C "$build" --no-rebuild --quiet
    # Where exactly a file went is the build's to say: bin or sbin, and the triplet.
    stekd=$(installed "$build" stekd)
    stekctl=$(installed "$build" stekctl)
    module=$(installed "$build" stek.so)
    exec 8<&-
}
installed() {
    meson introspect --installed "$1" | python3 -c '
import json, os, sys
for path in json.load(sys.stdin).values():
    if os.path.basename(path) == sys.argv[1]:
        print(path)
        break
else:
    sys.exit("the build does not install " + sys.argv[1])' "$2"
}

# The defaults of stekd are 3600 and 7200: two periods here as well, but enough to look at it.
open_window() { echo $(($1 * 2 > 10 ? $1 * 2 : 10)); }

make_instance() {
    local part
    clear_instance # of a run that was killed
    started=yes
    mkdir -m 700 "$client"
    heading "Tokens and settings in $dir"
    echo "$period" >"$state/period"
    "$stekctl" init --dir "$dir" --location quickstart --period "$period" \
        --session-timeout "$(open_window "$period")" --provider "$module" --reader www-data
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=quickstart.test \
        -keyout "$state/key.pem" -out "$state/cert.pem" 2>/dev/null
    free_port >"$state/port"
    mkdir "$state/nginx"
    # Nothing here is about stekd but the `env` line. reuseport spreads connections over both workers.
    cat >"$state/nginx.conf" <<EOF
env OPENSSL_CONF;
user www-data;
worker_processes 2;
pid $state/nginx.pid;
error_log $state/nginx.log;
events { worker_connections 128; }
http {
    access_log off;
$(for part in client_body proxy fastcgi uwsgi scgi; do echo "    ${part}_temp_path $state/nginx/$part;"; done)
    server {
        listen 127.0.0.1:$(<"$state/port") ssl reuseport;
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_certificate $state/cert.pem;
        ssl_certificate_key $state/key.pem;
        ssl_session_timeout 1d;
        add_header X-Worker \$pid;
        return 200 "nginx worker \$pid, session reused: \$ssl_session_reused\n";
    }
}
EOF
}

# Not left to bind(): with reuseport a second nginx of the same user could share the port unnoticed.
free_port() {
    python3 -c '
import socket
with socket.socket() as s:
    s.bind(("127.0.0.1", 0))
    print(s.getsockname()[1])'
}

start_stekd() {
    setsid "$stekd" --config "$dir/stekd.toml" </dev/null >"$state/stekd.log" 2>&1 9<&- &
    echo $! >"$state/stekd.pid"
    local tries=0
    until [ -n "$(sealing_key)" ]; do
        running stekd || die "stekd ended"
        [ $((tries += 1)) -le 300 ] || die "stekd made no key in 30 s"
        sleep 0.1
    done
    runuser -u www-data -- test -r "$dir/run/keyring" ||
        die "nginx's user cannot read $dir/run/keyring: is a directory above it closed to others?"
    print_keys
}
start_nginx() {
    heading "A stock nginx, two workers, OPENSSL_CONF=$dir/openssl.cnf"
    OPENSSL_CONF=$dir/openssl.cnf nginx -p "$state" -c "$state/nginx.conf" 9<&-
    until running nginx; do sleep 0.05; done
    nginx -v 2>&1
}

# --- what stekd says ---

status_json() { "$stekctl" status --config "$dir/stekd.toml" --json; }
print_keys() { "$stekctl" status --config "$dir/stekd.toml" || true; }
# key_states: a line for each live key, "<name in hex> <state>". Empty while there is no ring.
key_states() {
    { status_json 2>/dev/null || true; } | python3 -c '
import json, sys
text = sys.stdin.read()
for key in json.loads(text)["keys"] if text.strip() else []:
    print(key["name"], key["state"])'
}
key_state() { key_states | sed -n "s/^$1 //p"; }
sealing_key() { key_states | sed -n 's/ sealing$//p'; }

await_rotation() {
    local now
    echo "waiting for the next epoch ..."
    until now=$(sealing_key) && [ -n "$now" ] && [ "$now" != "$1" ] && [ "$now" != "$2" ]; do
        running stekd || die "stekd ended"
        sleep 0.2
    done
}
await_expiry() {
    [ -z "$(key_state "$1")" ] || echo "waiting until key $1 has had its time ..."
    while [ -n "$(key_state "$1")" ]; do
        running stekd || die "stekd ended"
        sleep 0.2
    done
}

# --- what a client sees ---

# connect VERSION SESSION-FILE|none NEW-SESSION-FILE|none: one connection by `openssl s_client`. Sets
# outcome (New or Reused), worker (nginx's pid) and key (name of the ticket's key: its first 16 bytes).
connect() {
    local out arguments=(-connect "127.0.0.1:$port" -servername quickstart.test "-tls${1/./_}" -ign_eof)
    [ "$2" = none ] || arguments+=(-sess_in "$2")
    [ "$3" = none ] || arguments+=(-sess_out "$3")
    out=$(printf 'GET / HTTP/1.1\r\nHost: quickstart.test\r\nConnection: close\r\n\r\n' |
        openssl s_client "${arguments[@]}" 2>"$client/errors") || die "TLS $1: no connection: $(tail -n 1 "$client/errors")"
    outcome=$(sed -n 's/^\(New\|Reused\), TLS.*/\1/p' <<<"$out" | head -n 1)
    worker=$(sed -n 's/^X-Worker: \([0-9]*\).*/\1/p' <<<"$out")
    # The last one printed: with TLS 1.3, tickets come after the handshake.
    key=$(sed -n '/TLS session ticket:/{n;p}' <<<"$out" | tail -n 1 |
        sed -n 's/^ *0000 - \([0-9a-f -]\{47\}\).*/\1/p' | tr -d ' -')
    [ -n "$outcome" ] && [ -n "$worker" ] && [ -n "$key" ] || die "TLS $1: no ticket, or no answer from nginx"
}
expect() { [ "$outcome" = "$1" ] || die "$2: expected '$1', saw '$outcome'"; }
show() { printf 'TLS %s  worker %-7s %s\n' "$1" "$worker" "$2"; }

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
    [ -n "$(key_state "$key")" ] || die "TLS $1: renewed under key $key, which stekd does not know"
}
