# The show of a fleet: units/quickstart --fleet. All on this host: each party has a directory of its own for one.
# shellcheck shell=bash disable=SC2154

# shellcheck disable=SC2034
packages=("$here/packages" "$here/packages-fleet")
origins=(o1 o2) locations=(fra1 ams1 nyc1) servers=(n1 n2 n3)
machines=()
for location in "${locations[@]}"; do machines+=("$location-m1" "$location-m2"); done

location_of() { echo "${1%-*}"; }
host() { echo "$dir/hosts/$1"; }
config_of() { echo "$(host "$1")/stekd.toml"; }
fleet() { "$stekctl" fleet "$@"; }

# --- the parties ---

# add_party NAME LOCATION SECTIONS: tokens and their PINs by `stekctl init`, whose settings are then those of a party. What it
# calls vault is the party's own token. In SECTIONS, OWN and TICKET are the URIs.
add_party() {
    local home sections=$3 own ticket
    home=$(host "$1")
    "$stekctl" init --dir "$home" --location "$2" --period "$period" --session-timeout "$(open_window "$period")" \
        --provider "$module" --reader www-data >/dev/null
    own=$(sed -n 's/^uri = \("pkcs11:token=stekd-vault.*\)/\1/p' "$home/stekd.toml")
    ticket=$(sed -n 's/^uri = \("pkcs11:token=stekd-ticket.*\)/\1/p' "$home/stekd.toml")
    mkdir -m 700 "$home/tls"
    # Quoted, for an "&" in what is put there would stand for what it replaces.
    sections=${sections//OWN/"$own"} sections=${sections//TICKET/"$ticket"}
    cat >"$home/stekd.toml" <<EOF
period = $period
session_timeout = $(open_window "$period")

[engine]
nats = [$(for name in "${servers[@]}"; do printf '"127.0.0.1:%s", ' "$(<"$dir/engine/$name.port")"; done)]
tls = "$home/tls"
root = "$dir/root.pem"

$sections

[paths]
module_config = "$home/softhsm2.conf"
provider = "$module"
state = "$home/state"
control = "$home/run/control"
EOF
}
add_all_parties() {
    local name location
    add_party root root '[root]
uri = OWN'
    for name in "${origins[@]}"; do
        add_party "$name" origins "[origin]
name = \"$name\"
uri = OWN"
    done
    for location in "${locations[@]}"; do
        add_party "$location-v1" "$location" "[location]
name = \"$location\"
vault = \"$location-v1\"
uri = OWN"
    done
    for name in "${machines[@]}"; do
        add_party "$name" "$(location_of "$name")" "[machine]
name = \"$name\"
location = \"$(location_of "$name")\"
uri = OWN
ticket = TICKET
private_pairs = false
readers = [\"www-data\"]
keyring = \"$(host "$name")/run/keyring\"
stats = \"$(host "$name")/run/stats\""
    done
}

# certify ROLE FILE NAME: asks to be enrolled, and gets the certificate that the NATS servers know it by.
certify() {
    local home asked
    home=$(host "$3")
    asked=$(fleet enroll "$1" --config "$home/stekd.toml" --output "$home/request" 2>&1) || die "$3: $asked"
    # On a real host somebody reads this out over the telephone.
    sed -n 's/^fingerprint: *//p' <<<"$asked" | head -n 1 >"$home/fingerprint"
    fleet certify --config "$(config_of root)" "$home/tls/$2.csr" --output "$home/tls/$2.crt" \
        --fingerprint "$(sed -n 's/.*of that: *//p' <<<"$asked")" 2>&1 | sed -n 's/^request: *//p'
    cp "$(host root)/tls/authority.crt" "$home/tls/"
}
# approve NAME BY: with the fingerprint that NAME has told.
approve() {
    fleet approve --config "$(config_of "$2")" "$(host "$1")/request" --fingerprint "$(<"$(host "$1")/fingerprint")"
}
enrol_all_parties() {
    local name location
    for name in "${origins[@]}"; do certify origin origin "$name"; done
    for location in "${locations[@]}"; do certify location vault "$location-v1"; done
    for name in "${machines[@]}"; do certify machine machine "$name"; done
    let_all_in
    for name in "${origins[@]}" "${locations[@]/%/-v1}"; do approve "$name" root; done
    for location in "${locations[@]}"; do
        fleet ceremony make --config "$(config_of "$location-v1")" --out-dir "$(host "$location-v1")"
    done
    for name in "${machines[@]}"; do approve "$name" "$(location_of "$name")-v1"; done
}

# --- the NATS servers ---

choose_engine_ports() {
    local name
    mkdir -m 755 "$dir/engine"
    for name in "${servers[@]}"; do
        free_port >"$dir/engine/$name.port"
        free_port >"$dir/engine/$name.cluster"
    done
}
make_fleet_and_engine() {
    local name files options=() code=0 tries=0
    for name in "${servers[@]}"; do
        options+=("$name=127.0.0.1:$(<"$dir/engine/$name.port"):$(<"$dir/engine/$name.cluster")")
    done
    fleet init --config "$(config_of root)" --nats "${options[@]}" || code=$?
    [ "$code" = 75 ] || die "stekctl fleet init: exit code $code" # 75: the servers are not there yet
    for name in "${servers[@]}"; do
        files=$dir/engine/$name
        cp -R "$(host root)/tls/servers/$name" "$files"
        # Made for hosts with a server each.
        sed -i "s|/etc/nats-stek|$files|g; s|/var/lib/nats-stek|$files/store|g" "$files/nats.conf"
        start "nats-$name" nats-server -c "$files/nats.conf"
    done
    until fleet init --config "$(config_of root)" 2>"$state/init.errors"; do
        [ $((tries += 1)) -le 60 ] || die "the NATS servers do not answer: $(<"$state/init.errors")"
        sleep 0.5
    done
}
let_all_in() {
    local name log before tries=0
    for name in "${servers[@]}"; do
        log=$state/nats-$name.log
        before=$(grep -c 'Reloaded server configuration' "$log" || true)
        cp "$(host root)/tls/servers/$name/grants.conf" "$dir/engine/$name/"
        signal "nats-$name" HUP
        until [ "$(grep -c 'Reloaded server configuration' "$log")" -gt "$before" ]; do
            [ $((tries += 1)) -le 100 ] || die "$name does not take its new grants"
            sleep 0.1
        done
    done
}
# The servers' own leader (each bucket has one, too), by the newest line of them that says so.
leader() {
    local name
    for name in "${servers[@]}"; do
        ! running "nats-$name" ||
            sed -n "s|^\[[0-9]*\] \(.*\) \[INF\] Self is new JetStream cluster metadata leader|\1 $name|p" "$state/nats-$name.log"
    done | sort | tail -n 1 | sed 's/.* //'
}

# --- the instance ---

make_instance() {
    clear_instance # of a run that was killed
    started=yes
    mkdir -m 700 "$client"
    mkdir -m 755 "$dir/hosts"
    echo "$period" >"$state/period"
    choose_engine_ports
    heading "Tokens and settings of ${#origins[@]} origins, ${#locations[@]} locations, ${#machines[@]} machines in $dir/hosts"
    add_all_parties
    ls -m "$dir/hosts"
    heading "The fleet's root key; the files of three NATS servers, which are started; their buckets"
    make_fleet_and_engine
    heading "Each party asks to be enrolled, and is"
    enrol_all_parties
}
parties() { printf '%s\n' "${origins[@]}" "${locations[@]/%/-v1}" "${machines[@]}"; }
start_parties() {
    local name tries=0
    heading "stekd at each of them, and a stock nginx at each machine"
    for name in $(parties); do start "stekd-$name" "$stekd" --config "$(config_of "$name")"; done
    for name in "${machines[@]}"; do
        until [ -n "$(sealing_key "$(config_of "$name")")" ]; do
            running "stekd-$name" || die "stekd ended"
            [ $((tries += 1)) -le 600 ] || die "$name has no key after a minute"
            sleep 0.1
        done
    done
    make_certificate
    for name in "${machines[@]}"; do
        make_nginx "nginx-$name" "$state/$name" 1
        start_nginx "nginx-$name" "$state/$name" "$(host "$name")/openssl.cnf"
    done
    print_fleet
}
print_fleet() { fleet status --config "$(config_of root)" || true; }
all_run() {
    local name
    for name in $(parties); do running "stekd-$name" || return 1; done
    for name in "${machines[@]}"; do running "nginx-$name" || return 1; done
    for name in "${servers[@]}"; do running "nats-$name" || return 1; done
}
port_of() { cat "$state/nginx-$1.port"; }

# --- what is seen ---

# A ticket of each machine is offered to each: it must be resumed where the location is the same, and nowhere else.
show_what_resumes() {
    local from to tls want
    printf '%-18s' 'ticket from'
    printf ' %-8s' "${machines[@]}"
    echo
    for from in "${machines[@]}"; do
        for tls in 1.2 1.3; do
            port=$(port_of "$from")
            connect $tls none "$client/session"
            [ -n "$(key_state "$(config_of "$from")" "$key")" ] || die "$from: a ticket under key $key, which its stekd does not know"
            printf '%-8s  TLS %-4s' "$from" "$tls"
            for to in "${machines[@]}"; do
                want=New
                [ "$(location_of "$from")" != "$(location_of "$to")" ] || want=Reused
                port=$(port_of "$to")
                connect $tls "$client/session" none
                expect $want "TLS $tls: a ticket from $from at $to"
                case $outcome in
                    Reused) printf ' %-8s' resumed ;;
                    New) printf ' %-8s' full ;;
                esac
            done
            echo
        done
    done
}

start_load() {
    # shellcheck disable=SC2046
    start load "$here/quickstart-load" "$state/cert.pem" $(for name in "${machines[@]}"; do port_of "$name"; done)
    await_load 20
}
# Sets connections, resumed, failed: since the load began.
count_load() {
    local counts
    running load || die "the load ended"
    counts=$(grep -E '^[0-9]+ [0-9]+ [0-9]+$' "$state/load.log" | tail -n 1 || true)
    read -r connections resumed failed <<<"${counts:-0 0 0}"
}
# await_load N: N more connections are made.
await_load() {
    local before tries=0
    count_load
    before=$connections
    until [ "$connections" -ge $((before + $1)) ]; do
        [ $((tries += 1)) -le 300 ] || die "no connections are made"
        sleep 0.1
        count_load
    done
}

await_epoch_edge() {
    local now
    now=$(($(date +%s) / period))
    until [ $(($(date +%s) / period)) -gt "$now" ]; do sleep 0.05; done
}
newest_bundle() {
    fleet status --config "$(config_of root)" --json 2>/dev/null |
        python3 -c 'import json, sys; print((json.load(sys.stdin)["newest_bundle"] or "0.0").split(".")[0])'
}
# Keys are made ahead: waits for one that nobody had made yet, at each machine, and nothing may fail meanwhile.
await_new_keys() {
    local before name epoch begun=$SECONDS
    until before=$(newest_bundle); do # servers may be about to elect a leader
        [ $((SECONDS - begun)) -le 60 ] || die "the engine cannot be read"
        sleep 0.5
    done
    echo "hourly keys are there up to epoch $before: waiting until each machine seals with a later one ..."
    for name in "${machines[@]}"; do
        until epoch=$(sealing_epoch "$(config_of "$name")") && [ -n "$epoch" ] && [ "$epoch" -gt "$before" ]; do
            running "stekd-$name" || die "stekd of $name ended"
            [ $((SECONDS - begun)) -le $((12 * period + 60)) ] || die "$name has no key later than epoch $before"
            sleep 0.2
        done
    done
}
# harm WHAT PROCESS: kills it in a rotation, under load.
harm() {
    local connections_before resumed_before killed
    await_epoch_edge
    count_load
    connections_before=$connections resumed_before=$resumed
    killed=$SECONDS
    signal "$2" KILL
    await_end "$2"
    echo "$1 is killed, in a rotation"
    await_new_keys
    await_load 50
    [ "$failed" = 0 ] || die "$failed connections failed: $(grep port "$state/load.log" | head -n 3)"
    [ "$resumed" -gt "$resumed_before" ] || die "nothing was resumed"
    echo "$((SECONDS - killed)) s: $((connections - connections_before)) connections, $((resumed - resumed_before)) of them resumed, 0 failed"
}

the_show() {
    local name
    if all_run; then
        heading "The fleet in $dir runs already: it is used as it is, and left running"
        keep=yes
        period=$(<"$state/period")
    else
        stop_all
        period=${period:-5}
        make_instance
        start_parties
    fi
    echo "epochs of $period s; a key opens tickets for another $(open_window "$period") s"

    heading "1. A ticket resumes at the machines of its location, and nowhere else"
    show_what_resumes

    heading "2. The leader of the NATS servers is killed; the load is one connection in 20 ms, to each machine in turn"
    start_load
    name=$(leader)
    [ -n "$name" ] || die "the NATS servers have no leader"
    harm "$name, which leads," "nats-$name"
    echo "the others go on, led by $(leader)"

    heading "3. An origin is killed"
    harm "${origins[0]}" "stekd-${origins[0]}"
    echo "${origins[*]:1} makes the keys alone"

    heading "4. Both are started again"
    start "nats-$name" nats-server -c "$dir/engine/$name/nats.conf"
    start "stekd-${origins[0]}" "$stekd" --config "$(config_of "${origins[0]}")"
    await_new_keys
    await_load 50
    [ "$failed" = 0 ] || die "$failed connections failed"
    echo "since the load began: $connections connections, $resumed of them resumed, $failed failed"
    stop_each load
    show_what_resumes
    print_fleet

    heading "All of it was seen."
    if [ "$keep" = yes ]; then
        for name in "${machines[@]}"; do echo "nginx of $name answers on https://127.0.0.1:$(port_of "$name")/ (any name)"; done
        cat <<EOF
Each party's settings, tokens and state are in $dir/hosts, the NATS servers' files in $dir/engine
Look at the fleet:  $stekctl fleet status --config $(config_of root)
Look at a machine:  $stekctl status --config $(config_of fra1-m1)
Take one out:       $stekctl fleet retire fra1-m2 --config $(config_of fra1-v1) --now --origin $(config_of o1)
Stop it all with:   $here/quickstart --fleet --stop --dir $dir
EOF
    fi
}
