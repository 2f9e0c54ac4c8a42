# What the shows of units/quickstart have in common. Uses its variables: root, prefix, dir, period, keep.
# shellcheck shell=bash disable=SC2154

state=$dir/quickstart # our own files
# A file that only quickstart writes, when it has made the directory itself: all else is somebody else's.
mark=$dir/.made-by-stekd-quickstart
mark_text='units/quickstart of stekd made this directory, and removes it.'
client=$state/client

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
    for part in softhsm2.conf stekd.toml openssl.cnf pins tokens state run hosts engine root.pem; do
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

# Of each of our processes, $state/NAME.pid. What it is known by in its command line: a pid alone may be somebody else's
# by now.
signature() {
    case $1 in
        stekd) echo "$dir/stekd.toml" ;;
        stekd-*) echo "$dir/hosts/${1#stekd-}/stekd.toml" ;;
        nginx) echo "$state/nginx.conf" ;;
        nginx-*) echo "$state/${1#nginx-}/nginx.conf" ;;
        nats-*) echo "$dir/engine/${1#nats-}/nats.conf" ;;
        load) echo "quickstart-load $state/cert.pem" ;;
    esac
}
running() {
    local pid
    pid=$(cat "$state/$1.pid" 2>/dev/null) && [ -n "$pid" ] &&
        { tr '\0' ' ' <"/proc/$pid/cmdline" | grep -qF -- "$(signature "$1")"; } 2>/dev/null
}
# start NAME COMMAND...: output to $state/NAME.log. Without our lock on the directory.
start() {
    local name=$1
    shift
    setsid "$@" </dev/null >>"$state/$name.log" 2>&1 9<&- &
    echo $! >"$state/$name.pid"
    disown # its end is looked for, not told by bash
}
signal() { ! running "$1" || kill -"$2" "$(<"$state/$1.pid")" 2>/dev/null || true; }
await_end() {
    local tries=0
    while running "$1"; do
        [ $((tries += 1)) -le 100 ] || signal "$1" KILL
        sleep 0.1
    done
}
# Those whose names begin so, at the same time.
stop_each() {
    local file names=()
    for file in "$state/$1"*.pid; do
        [ ! -e "$file" ] || names+=("$(basename "$file" .pid)")
    done
    for file in "${names[@]}"; do signal "$file" TERM; done
    for file in "${names[@]}"; do await_end "$file"; done
}
stop_all() {
    local kind
    for kind in load nginx stekd nats; do stop_each "$kind"; done
}

finish() {
    trap - EXIT
    if [ "$1" -ne 0 ]; then
        echo
        for log in "$state"/*.log; do
            [ -s "$log" ] && echo "--- the end of $(basename "$log")" && tail -n 20 "$log"
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

# --- servers ---

# The defaults of stekd are 3600 and 7200: two periods here as well, but enough to look at it.
open_window() { echo $(($1 * 2 > 10 ? $1 * 2 : 10)); }

make_certificate() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=quickstart.test \
        -addext subjectAltName=DNS:quickstart.test -keyout "$state/key.pem" -out "$state/cert.pem" 2>/dev/null
}
# make_nginx NAME DIRECTORY WORKERS: nginx.conf in DIRECTORY, and the port in $state/NAME.port. Nothing in it is about stekd
# but the `env` line. reuseport spreads connections over all workers.
make_nginx() {
    free_port >"$state/$1.port"
    mkdir -p "$2/nginx"
    cat >"$2/nginx.conf" <<EOF
env OPENSSL_CONF;
user www-data;
worker_processes $3;
pid $state/$1.pid;
error_log $state/$1.log;
events { worker_connections 128; }
http {
    access_log off;
$(for part in client_body proxy fastcgi uwsgi scgi; do echo "    ${part}_temp_path $2/nginx/$part;"; done)
    server {
        listen 127.0.0.1:$(<"$state/$1.port") ssl reuseport;
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
# start_nginx NAME DIRECTORY OPENSSL-CONF
start_nginx() {
    OPENSSL_CONF=$3 nginx -p "$2" -c "$2/nginx.conf" 9<&-
    until running "$1"; do sleep 0.05; done
}

# Not left to bind(): with reuseport a second nginx of the same user could share the port unnoticed.
free_port() {
    python3 -c '
import socket
with socket.socket() as s:
    s.bind(("127.0.0.1", 0))
    print(s.getsockname()[1])'
}

# --- what stekd says: of one that goes by CONFIG ---

status_json() { "$stekctl" status --config "$1" --json; }
# key_states CONFIG: a line for each live key, "<name in hex> <state> <epoch>". Empty while there is no ring.
key_states() {
    { status_json "$1" 2>/dev/null || true; } | python3 -c '
import json, sys
text = sys.stdin.read()
for key in json.loads(text)["keys"] if text.strip() else []:
    print(key["name"], key["state"], key["epoch"])'
}
# key_state CONFIG NAME
key_state() { key_states "$1" | sed -n "s/^$2 \\([a-z]*\\) .*/\\1/p"; }
sealing_key() { key_states "$1" | sed -n 's/ sealing .*//p'; }
sealing_epoch() { key_states "$1" | sed -n 's/.* sealing //p'; }

# --- what a client sees ---

# connect VERSION SESSION-FILE|none NEW-SESSION-FILE|none: one connection to $port by `openssl s_client`. Sets outcome (New or
# Reused), worker (nginx's pid) and key (name of the ticket's key: its first 16 bytes).
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
