# The contract of tests/apps/languages.sh with a shell's `exec 9>` and flock(1) on the descriptor.
# Plain sh: run by bash and by dash.
verb=$1
path=$2

flag() {
    case $1 in
    sh) printf '%s' -s ;;
    ex) printf '%s' -x ;;
    esac
}

case $verb in
count)
    turn=0
    while [ "$turn" -lt "$4" ]; do
        exec 9>"$path"
        flock 9 || exit 1
        read -r value <"$3"
        echo $((value + 1)) >"$3"
        exec 9>&-
        turn=$((turn + 1))
    done
    ;;
hold)
    exec 9>"$path"
    flock "$(flag "$3")" 9 || exit 1
    echo held
    # The shell alone keeps the descriptor: what it waits for must not.
    sleep 60 9>&- &
    trap 'kill $!' EXIT
    wait
    ;;
try)
    exec 9>"$path"
    if flock "$(flag "$3")" -n 9; then echo ok; else echo busy; fi
    ;;
limited)
    exec 9>"$path"
    if flock "$(flag "$3")" -w "$4" 9; then echo ok; else echo timeout; fi
    ;;
esac
