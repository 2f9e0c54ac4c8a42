# bash completion for stekctl and stekd. What there is to complete is read from --help, so it is what the installed
# program knows.

# _stekctl_words KIND COMMAND...: the options or subcommands that the command's --help lists.
_stekctl_words() {
    local kind=$1
    shift
    case $kind in
        options) "$@" --help 2>/dev/null | sed -n 's/^  \(-[^ ]*\).*/\1/p' | tr ',' '\n' ;;
        subcommands) "$@" --help 2>/dev/null | sed -n '/^Subcommands:/,$s/^  \([a-z][a-z-]*\) .*/\1/p' ;;
    esac
}

# The keys that can be revoked, where the user may see them.
_stekctl_keys() {
    "$@" status --json 2>/dev/null |
        sed -n -e 's/^ *"epoch": \([0-9]*\),$/\1/;t keep' -e 's/^ *"revision": \([0-9]*\),$/\1/;t join' -e 'b' \
            -e ':keep' -e 'h;b' -e ':join' -e 'H;x;s/\n/./;p'
}

_stekctl() {
    local program=${COMP_WORDS[0]} word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
    local subcommand='' i
    local -a path=()
    COMPREPLY=()
    if [[ ${program##*/} != stekd ]]; then
        for ((i = 1; i < COMP_CWORD; i++)); do
            [[ ${COMP_WORDS[i]} != -* ]] || continue
            # `fleet` has subcommands of its own, and so have some of these.
            [[ ${#path[@]} == 0 || ${path[0]} == fleet ]] || break
            [[ ${#path[@]} == 0 ]] ||
                _stekctl_words subcommands "$program" "${path[@]}" | grep -qxF -e "${COMP_WORDS[i]}" || continue
            path+=("${COMP_WORDS[i]}")
        done
    fi
    subcommand=${path[*]}
    case $before in
        --config | --module | --provider | --output | --out | --origin)
            mapfile -t COMPREPLY < <(compgen -f -- "$word")
            compopt -o filenames 2>/dev/null
            return
            ;;
        --dir | --token-dir | --out-dir)
            mapfile -t COMPREPLY < <(compgen -d -- "$word")
            compopt -o filenames 2>/dev/null
            return
            ;;
        --reader)
            mapfile -t COMPREPLY < <(compgen -u -- "$word")
            return
            ;;
    esac
    local words=''
    if [[ $word == -* ]]; then
        words=$(_stekctl_words options "$program" "${path[@]}")
    elif [[ ${program##*/} != stekd && (-z $subcommand || $subcommand == fleet || $subcommand == 'fleet enroll' || \
        $subcommand == 'fleet ceremony') ]]; then
        words=$(_stekctl_words subcommands "$program" "${path[@]}")
    elif [[ $subcommand == 'fleet approve' || $subcommand == 'fleet certify' || $subcommand == 'fleet ceremony make' || $subcommand == 'fleet ceremony take' ]]; then
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
        compopt -o filenames 2>/dev/null
        return
    elif [[ $subcommand == revoke ]]; then
        words="all $(_stekctl_keys "$program")"
    elif [[ $subcommand == doctor && $before != --servername ]]; then
        # A colon breaks words in bash (COMP_WORDBREAKS), so a port is not offered behind one.
        words=$(compgen -A hostname -- "$word")
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -F _stekctl stekctl stekd
