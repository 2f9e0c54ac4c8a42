# Which servers there are drop-ins for, and what belongs to each. Sourced by install and uninstall.
# shellcheck shell=bash

# shellcheck disable=SC2034
known_servers=(nginx haproxy apache2)

# Where the server's program is, the user its workers run as.
server_program() { case $1 in nginx | haproxy | apache2) echo "/usr/sbin/$1" ;; esac; }
server_user() { case $1 in haproxy) echo haproxy ;; *) echo www-data ;; esac; }
server_is_there() { [ -x "$(server_program "$1")" ] && id -u "$(server_user "$1")" >/dev/null 2>&1; }

# Lines of "file in drop-ins/, where it goes".
server_files() {
    echo "$1.conf /etc/systemd/system/$1.service.d/stekd.conf"
    [ "$1" != nginx ] || echo "nginx-env.conf /etc/nginx/modules-enabled/50-stek.conf"
}
# Mount points that the drop-in wants, outermost first. Made here rather than by systemd, so that it is known what
# there was before.
server_mount_points() {
    [ "$1" = haproxy ] || return 0
    printf '/var/lib/haproxy/%s\n' run/ run/stekd/ etc/ etc/stekd/ etc/stekd/softhsm2.conf
}

# Lines of "file setting": what Debian's configuration has against tickets, whose keys nobody renewed until now. It is
# the site's to take out.
server_ticket_bans() {
    case $1 in
        haproxy) echo "/etc/haproxy/haproxy.cfg no-tls-tickets" ;;
        apache2) echo "/etc/apache2/mods-available/ssl.conf SSLSessionTickets off" ;;
    esac
}

systemd_runs() { [ -d /run/systemd/system ]; }
reload_units() { ! systemd_runs || systemctl daemon-reload; }
