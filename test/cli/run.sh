#!/bin/bash
# Drives the built binary as a person would: every command, its messages and its exit codes. Prints a line a test and, last,
# `cli: N passed, N failed, N skipped`. Arguments: names of tests to run alone. PARLEY=path names another binary.
set -u
cd "$(dirname "$0")/../.." || exit 1
REPO=$PWD
PARLEY=$(realpath "${PARLEY:-build/parley}")
ROOT=$(mktemp -d /tmp/parley-cli.XXXXXX)
PIDS=""
DEADLINE=300 # polls of 0.1 s: how long anything may take before it counts as failed
cleanup() {
    for pid in $PIDS; do kill -9 "$pid" 2>/dev/null; done
    wait 2>/dev/null
    rm -rf "$ROOT"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

# ---- helpers
fail() { # the test's subshell ends here
    echo "    $*"
    [ -f out ] && sed 's/^/    out: /' out | tail -n 30
    for log in *.log; do [ -f "$log" ] && sed "s/^/    $log: /" "$log" | tail -n 60; done
    exit 1
}
is_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
# Below 32768: above, the kernel gives ports to outgoing connections.
NEXT_PORT=${CLI_PORT:-12000}
take_ports() { # N consecutive free ports; the first goes to PORT
    local n=$1 i
    while :; do
        PORT=$NEXT_PORT
        NEXT_PORT=$((NEXT_PORT + n))
        [ $NEXT_PORT -gt 32000 ] && NEXT_PORT=12000
        for ((i = 0; i < n; i++)); do is_open $((PORT + i)) && break; done
        [ "$i" -eq "$n" ] && return
    done
}
http() { # METHOD PORT PATH [HEADER]: the answer whole
    exec 3<>"/dev/tcp/127.0.0.1/$2" || return 1
    printf '%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s\r\n' "$1" "$3" "${4:+$4$'\r\n'}" >&3
    timeout 10 cat <&3
    exec 3<&- 3>&-
}
four_letter() { # PORT WORD: the answer
    exec 3<>"/dev/tcp/127.0.0.1/$1" || return 1
    printf '%s' "$2" >&3
    timeout 10 cat <&3
    exec 3<&- 3>&-
}
wait_until() { # what the arguments say becomes true
    local i
    for ((i = 0; i < DEADLINE; i++)); do
        "$@" && return 0
        sleep 0.1
    done
    fail "never true: $*"
}
is_ready() { is_open "$1" && http GET "$1" /readyz 2>/dev/null | head -n 1 | grep -q ' 200 '; }
is_gone() { ! kill -0 "$1" 2>/dev/null; }
start() { # LOG-NAME ARGUMENTS...: the process id goes to PID
    local log=$1.log
    shift
    "$PARLEY" "$@" >"$log" 2>&1 &
    PID=$!
    PIDS="$PIDS $PID"
    echo "$PID" >>"$ROOT/pids"
}
stop() { # PID SIGNAL: gives its exit code
    kill -"$2" "$1"
    wait "$1"
}
run() { # ARGUMENTS...: output to `out`, code to CODE
    timeout 60 "$PARLEY" "$@" >out 2>&1 </dev/null
    CODE=$?
}
expect() { # CODE ARGUMENTS...
    local wanted=$1
    shift
    run "$@"
    [ "$CODE" -eq "$wanted" ] || fail "exit code $CODE instead of $wanted: parley $*"
}
says() { grep -qF -- "$1" out || fail "not said: $1"; }
one_node() { # LOG-NAME FOLDER [MORE]: a node alone; ports ZK, HTTP, PEER
    local log=$1 data=$2
    shift 2
    take_ports 4
    ZK=$PORT HTTP=$((PORT + 1)) PEER=$((PORT + 2))
    start "$log" server --data "$data" --zookeeper "$ZK" --http "$HTTP" --peer "$PEER" "$@"
    NODE=$PID
    wait_until is_ready "$HTTP"
}
zk() { expect 0 zk -s "localhost:$ZK" "$@"; }

# ---- tests
test_help_and_version() {
    expect 0 --help; says "usage: parley COMMAND"
    expect 0 --version; says "parley "
    expect 2; says "usage: parley COMMAND"
    expect 2 sevrer; says "did you mean server?"
    local command
    for command in server dev status member leader cluster time lock elect session barrier config topic zk backup restore check recover bench generate; do
        expect 0 "$command" --help
        says "usage: parley $command"
    done
    # What --help says of flags stands in the completions too (the server's are made from its table).
    local flag words
    for command in dev status member leader cluster time lock elect session barrier config topic zk backup restore recover bench; do
        words=$(sed -n "/^    $command)/,/;;/p" "$REPO/packaging/parley.bash-completion")
        if [ $command = bench ]; then expect 0 bench zookeeper --help; else expect 0 $command --help; fi
        grep -oE '^  (-., )?--[a-z-]+' out | grep -oE -- '--[a-z-]+' >flags
        [ -s flags ] || fail "no flags of $command"
        while read -r flag; do
            case " $words " in *[\ \"]"$flag"[\ \"]*) ;; *) fail "$command $flag is not completed" ;; esac
        done <flags
    done
    expect 2 status --htp 1; says "did you mean --http?"
    expect 2 status more; says "'more' is unexpected"
    expect 2 backup --http; says "lacks its value"
    expect 2 member; says "an argument is missing"
    expect 2 member add x localhost:1; says "no member's number"
    expect 2 status --http :1; says "names no host"
}

test_locks_of_other_systems_are_named() {
    expect 0 bench locks --help; says "parley bench locks [FLAGS] [URL...]"
    expect 2 lock --via oracle://localhost name -- true; says "no lock recipe is called oracle://"
    expect 2 lock --via localhost name -- true; says "not a URL"
    expect 2 lock --via redis://localhost --shared name -- true; says "have no --shared"
    expect 2 lock --via redis://localhost list; says "--via goes with NAME -- CMD"
    PARLEY_VIA_PATH=/nowhere expect 1 lock --via postgres://localhost name -- true; says "this build has no postgres"
}

test_bad_settings_exit_2() {
    printf 'id = 1\nbanana = 2\nheartbeat = soon\n' >parley.conf
    expect 2 server --config parley.conf
    says "parley.conf:2: banana is unknown"
    says "parley.conf:3: heartbeat: 'soon' is not a duration"
    [ "$(wc -l <out)" -eq 2 ] || fail "more than one line a mistake"
    expect 2 server --zookeeper :2181; says "names no host"
    expect 2 server --memcached 11211; says "comes with a later part"
    expect 2 server --zookeper 1; says "did you mean --zookeeper?"
    echo nonsense >cert.pem
    expect 2 server --zookeeper off --http off --peer off --tls-cert cert.pem --tls-key cert.pem; says "--tls-cert"
    [ ! -e parley-data ] || fail "a folder was made in spite of mistakes"
}

test_server_keeps_data_over_a_restart() {
    one_node first data
    grep -q "try: zkCli.sh -server localhost:$ZK" first.log || fail "no connect string at start"
    wait_until grep -q '^ready: node 1 serves$' first.log
    zk create /a "first value"; says "/a"
    stop "$NODE" TERM || fail "exit code $? of an orderly end"
    grep -q '^stopped$' first.log || fail "did not say that it stopped"
    one_node second data
    zk get /a; says "first value"
    stop "$NODE" INT || fail "exit code $? of an orderly end"
}

test_server_keeps_data_over_a_kill() {
    one_node first data
    local i
    for i in 1 2 3; do zk create "/k$i" "v$i"; done
    stop "$NODE" KILL 2>/dev/null
    one_node second data
    for i in 1 2 3; do zk get "/k$i"; says "v$i"; done
    stop "$NODE" TERM || fail "exit code $?"
}

test_config_file() {
    take_ports 3
    printf '# test\ndata conf-data\nzookeeper = localhost:%s\nhttp %s\npeer off\nlog-level warn\n' "$PORT" $((PORT + 1)) >parley.conf
    start server server --config parley.conf --id 5
    wait_until is_ready $((PORT + 1))
    expect 0 member list --http $((PORT + 1)); grep -q '^5 ' out || fail "the member is not 5"
    [ -f conf-data/identity ] || fail "data is not where the file says"
    grep -q ' info ' server.log && fail "log-level of the file was not taken"
    stop "$PID" TERM || fail "exit code $?"
}

test_taken_ports_name_their_flag() {
    one_node node data
    take_ports 4
    expect 1 server --data other --zookeeper "$ZK" --http "$PORT" --peer $((PORT + 1)); says "--zookeeper: another program uses localhost:$ZK"
    expect 1 server --data other --zookeeper "$PORT" --http "$HTTP" --peer $((PORT + 1)); says "--http: another program uses localhost:$HTTP"
    expect 1 server --data other --zookeeper "$PORT" --http $((PORT + 1)) --peer "$PEER"; says "--peer: another program uses localhost:$PEER"
    expect 1 server --data data --zookeeper "$PORT" --http $((PORT + 1)) --peer $((PORT + 2)); says "another parley (pid $NODE) uses the data folder"
    expect 1 check data; says "another parley (pid $NODE) uses the data folder"
    stop "$NODE" TERM || fail "exit code $?"
}

test_wrong_id_is_refused() {
    one_node node data --id 3
    stop "$NODE" TERM || fail "exit code $?"
    take_ports 3
    expect 1 server --data data --id 4 --zookeeper "$PORT" --http $((PORT + 1)) --peer $((PORT + 2)); says "belongs to member 3"
}

leader_of() { run status --http "$1"; sed -n 's/.*leader \([0-9]*\) .*/\1/p' out; }
leader_is() { [ "$(leader_of "$1")" = "$2" ]; }
three_nodes() { # LOG-NAME [MORE]: ports at BASE
    local log=$1
    shift
    if [ -z "${BASE:-}" ]; then
        take_ports 30
        BASE=$PORT
    fi
    start "$log" dev --nodes 3 --base-port "$BASE" --data cluster "$@"
    DEV=$PID
    wait_until is_ready $((BASE + 1))
    wait_until is_ready $((BASE + 11))
    wait_until is_ready $((BASE + 21))
    ZK=$BASE
}
servers_of() { ps -o pid= --ppid "$1"; }

test_dev_runs_a_cluster() {
    BASE=""
    three_nodes first
    grep -q "connect string  localhost:$BASE,localhost:$((BASE + 10)),localhost:$((BASE + 20))" first.log || fail "no connect string"
    zk create /shared yes
    expect 0 zk -s "localhost:$((BASE + 20))" get /shared; says yes
    expect 0 status --http $((BASE + 11)); says "leader"
    [ "$(grep -c ' ready ' out)" -eq 3 ] || fail "three nodes are not ready"
    expect 0 status --http $((BASE + 1)) --json; says '"cluster_id"'
    [ "$(grep -c '"reachable": true' out)" -eq 3 ] || fail "not all were reached"
    expect 0 member list --http $((BASE + 21)); [ "$(grep -c voter out)" -eq 3 ] || fail "not three voters"
    "$PARLEY" status --http $((BASE + 1)) --watch >watch.log 2>&1 &
    local watcher=$!
    PIDS="$PIDS $watcher"
    wait_until grep -q 'WRITES/S' watch.log
    kill "$watcher"
    local old new
    old=$(leader_of $((BASE + 1)))
    new=$((old % 3 + 1))
    expect 0 leader transfer "$new" --http $((BASE + 1))
    wait_until leader_is $((BASE + 11)) "$new"
    expect 0 zk -s "localhost:$((BASE + 10))" set /shared again
    local servers
    servers=$(servers_of "$DEV")
    stop "$DEV" INT || fail "exit code $? of an orderly end"
    for pid in $servers; do is_gone "$pid" || fail "server $pid was left behind"; done
    expect 2 dev --nodes 3 --base-port $((BASE + 1)) --data cluster; says "with --base-port $BASE: go on with the same"
    expect 2 dev --nodes 2 --base-port "$BASE" --data cluster; says "a cluster of 3 nodes"
    expect 2 dev --nodes 7; says "allowed are 1 to 6"
    expect 2 dev --base-port 80; says "--base-port"
    three_nodes second # the same command goes on with the data
    zk get /shared; says again
    servers=$(servers_of "$DEV")
    [ "$(echo "$servers" | wc -w)" -eq 3 ] || fail "not three servers"
    stop "$DEV" KILL 2>/dev/null # dies without a chance to tidy up
    for pid in $servers; do wait_until is_gone "$pid"; done
}

test_a_lost_node_is_shown_and_survived() {
    BASE=""
    three_nodes dev
    local victim
    for victim in $(servers_of "$DEV"); do :; done # the third
    kill -9 "$victim"
    wait_until grep -q 'node 3 | ended with exit code' dev.log
    zk create /still works
    expect 0 status --http $((BASE + 1)); says unreachable
    stop "$DEV" TERM
    [ $? -ne 0 ] || fail "a node that died counts as an orderly end"
}

test_a_wiped_node_comes_back() {
    BASE=""
    three_nodes first
    zk create /w kept
    stop "$DEV" INT || fail "exit code $?"
    rm -rf cluster/node-3 # its disk was replaced: another incarnation under the old number
    three_nodes second
    expect 0 zk -s "localhost:$((BASE + 20))" get /w; says kept
    is_voter() { run member list --http $((BASE + 1)); grep -q '^3 *voter' out; }
    wait_until is_voter
    stop "$DEV" INT || fail "exit code $?"
}

test_member_changes() {
    one_node first data
    zk create /m v
    take_ports 4
    local zk2=$PORT http2=$((PORT + 1)) peer2=$((PORT + 2))
    start second server --id 2 --cluster "1=localhost:$PEER,2=localhost:$peer2" --data data2 --zookeeper "$zk2" --http "$http2"
    local second=$PID
    wait_until is_open "$http2"
    expect 0 member add 2 "localhost:$peer2" --http "$HTTP"
    wait_until is_ready "$http2"
    expect 0 zk -s "localhost:$zk2" get /m; says v
    is_voter() { run member list --http "$HTTP"; grep -q '^2 *voter' out; }
    expect 0 member promote 2 --http "$HTTP"
    wait_until is_voter
    expect 1 member remove 9 --http "$HTTP"; says "no such member"
    expect 0 time show --http "$HTTP"; says "ahead"
    expect 2 time step --http "$HTTP"; says "nothing was changed"
    expect 0 time step --yes --http "$http2"; says "nothing to step"
    # With its data it may come back; as an observer it serves, and is shown as one wherever that is asked.
    expect 0 member remove 2 --http "$HTTP"
    is_alone() { run member list --http "$HTTP"; ! grep -q '^2 ' out; }
    wait_until is_alone
    expect 2 member remove --observer 2 --http "$HTTP"; says "goes with add only"
    expect 0 member add --observer 2 "localhost:$peer2" --http "$HTTP"; says "added as an observer"
    expect 1 member add 2 "localhost:$peer2" --http "$HTTP"; says "promote it"
    wait_until is_ready "$http2"
    zk set /m through-the-leader
    writes() { run zk -s "localhost:$zk2" set /m through-the-observer; }
    wait_until writes
    expect 0 zk -s "localhost:$ZK" get /m; says through-the-observer
    expect 0 member list --http "$HTTP"; grep -q '^2 *observer' out || fail "no observer in member list"
    expect 0 status --http "$http2"; grep -q '^2 *observer *ready' out || fail "no observer in status"
    http GET "$http2" /v1/cluster >out; grep -q '"role": "observer"' out || fail "no observer in /v1/cluster"
    four_letter "$zk2" srvr >out; says "Mode: observer"
    four_letter "$zk2" mntr >out; says "zk_server_state	observer"
    four_letter "$ZK" mntr >out; says "zk_synced_observers	1"; says "zk_quorum_size	1"
    expect 0 zk -s "localhost:$zk2" get /zookeeper/config; says "server.2=localhost:$peer2:0:observer;"
    expect 0 member promote 2 --http "$HTTP"
    wait_until is_voter
    four_letter "$zk2" srvr >out; says "Mode: follower"
    expect 0 member remove 2 --http "$HTTP"
    wait_until is_alone
    zk set /m again
    stop "$second" TERM
    stop "$NODE" TERM || fail "exit code $?"
}

test_cluster_form_without() {
    take_ports 12
    local list="1=localhost:$PORT,2=localhost:$((PORT + 1)),3=localhost:$((PORT + 2))" base=$PORT i
    for i in 1 2; do
        start "node$i" server --id $i --cluster "$list" --data "data$i" --zookeeper $((base + 2 + i * 2)) --http $((base + 3 + i * 2))
        eval "pid$i=$PID"
    done
    wait_until grep -q 'parley cluster form --without 3' node1.log
    http GET $((base + 5)) /readyz >out; says "the cluster is not formed yet"
    expect 1 status --http $((base + 5)); says "not formed yet"
    expect 2 cluster form --http $((base + 5)); says "--without IDS is needed"
    expect 1 cluster form --without 1 --http $((base + 5)); says "not among the others"
    expect 0 cluster form --without 3 --http $((base + 5))
    wait_until is_ready $((base + 5))
    wait_until is_ready $((base + 7))
    ZK=$((base + 6))
    zk create /formed yes
    expect 1 cluster form --without 3 --http $((base + 5)); says "formed already"
}

test_backup_and_restore() {
    one_node node data
    zk create /b before
    expect 0 backup one.snap --http "$HTTP"; says "verified"
    expect 1 backup one.snap --http "$HTTP"; says "exists"
    zk set /b after
    expect 0 backup one.snap --force --http "$HTTP"
    expect 0 backup two.snap --http "$HTTP"
    zk stat /b; local zxid; zxid=$(sed -n 's/^mzxid *//p' out)
    stop "$NODE" TERM || fail "exit code $?"
    [ "$(stat -c %a one.snap)" = 600 ] || fail "the backup can be read by others"
    [ ! -e one.snap.tmp ] || fail "a piece was left"
    expect 2 restore one.snap; says "--data DIR is needed"
    expect 1 restore none.snap --data new; says "No such file"
    expect 1 restore one.snap --data data; says "is not empty"
    head -c 100 one.snap >short.snap
    expect 3 restore short.snap --data new
    [ ! -e new ] || fail "a folder was made from a damaged backup"
    take_ports 4
    expect 0 restore one.snap --data new --id 4 --zookeeper-advertise "localhost:$PORT"; says "dropped: "
    ZK=$PORT HTTP=$((PORT + 1))
    start restored server --id 4 --data new --zookeeper "$ZK" --http "$HTTP" --peer $((PORT + 2))
    wait_until is_ready "$HTTP"
    zk get /b; says after
    zk set /b "after the restore"
    zk stat /b
    [ "$(sed -n 's/^mzxid *//p' out)" -gt $((zxid + 1000000000)) ] || fail "zxids could come back"
    expect 0 member list --http "$HTTP"; grep -q "^4 .*localhost:$ZK" out || fail "the advertised address is not there"
    stop "$PID" TERM || fail "exit code $?"
    expect 0 check new; says sound
}

make_data() { # some entries behind a snapshot, orderly stopped
    one_node node data
    local i
    for i in 1 2 3 4 5 6 7 8; do zk create "/n$i" "value $i"; done
    expect 0 backup one.snap --http "$HTTP" # makes a snapshot
    for i in 1 2 3 4 5 6 7 8; do zk set "/n$i" "value 1$i"; done
    stop "$NODE" TERM || fail "exit code $?"
}
flip() { # FILE OFFSET: one byte becomes another
    local byte
    byte=$(od -An -tu1 -j "$2" -N 1 "$1")
    printf "\\x$(printf %x $((byte ^ 85)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

test_check_finds_damage() {
    make_data
    expect 0 check data; says sound; says "state "; says "digest "
    expect 1 check nothing; says "no such folder"
    mkdir empty
    expect 1 check empty; says "no file \`identity\`"
    cp -r data snapshot-damaged
    flip "$(ls snapshot-damaged/snapshots/*.snap | tail -n 1)" 200
    expect 3 check snapshot-damaged; says DAMAGED; says "snapshot"
    cp -r data journal-damaged
    flip journal-damaged/journal/00000000000000000001.seg 2100
    expect 3 check journal-damaged; says DAMAGED; says "offset"
    take_ports 3
    expect 3 server --data journal-damaged --zookeeper "$PORT" --http $((PORT + 1)) --peer $((PORT + 2)); says "offset"
    cp -r data identity-damaged
    flip identity-damaged/identity 30
    expect 3 check identity-damaged; says "damaged"
    expect 3 server --data identity-damaged --zookeeper "$PORT" --http $((PORT + 1)) --peer $((PORT + 2))
    expect 0 check data # nothing of this touched the original
}

test_recover_goes_on_alone() {
    BASE=""
    three_nodes dev
    zk create /r kept
    zk create -e /r-gone x
    stop "$DEV" INT || fail "exit code $?"
    expect 2 recover --data cluster/node-2; says "--force-new-cluster"
    expect 2 recover --data cluster/node-2 --force-new-cluster; says "nothing was changed"; says "may be lost"
    expect 0 check cluster/node-2; says "3 members"
    expect 0 recover --data cluster/node-2 --force-new-cluster --yes; says "recovered"
    expect 0 check cluster/node-2; says "1 members"
    ls cluster/node-2 | grep -q journal.before-recovery-1 || fail "the old journal was not kept"
    take_ports 3
    ZK=$PORT HTTP=$((PORT + 1))
    start alone server --id 2 --data cluster/node-2 --zookeeper "$ZK" --http "$HTTP" --peer $((PORT + 2))
    wait_until is_ready "$HTTP"
    zk get /r; says kept
    expect 1 zk -s "localhost:$ZK" get /r-gone; says "no such node"
    zk create /new works
    stop "$PID" TERM || fail "exit code $?"
    expect 1 recover --data nothing --force-new-cluster --yes
}

test_zk_shell() {
    one_node node data
    zk create /z "with blank"; says /z
    zk get /z; says "with blank"
    zk create -s /z/s- 1; says /z/s-0000000000
    zk create -s /z/s- 1; says /z/s-0000000001
    zk create -e /z/e x
    zk ls /z; [ "$(tr '\n' ' ' <out)" = "s-0000000000 s-0000000001 " ] || fail "ephemeral nodes must go with their session"
    zk set /z new -v 0; says "version 1"
    expect 1 zk -s "localhost:$ZK" set /z new -v 0; says "another version"
    expect 1 zk -s "localhost:$ZK" delete /z; says "has children"
    expect 1 zk -s "localhost:$ZK" create /z x; says "the node exists"
    expect 1 zk -s "localhost:$ZK" get /none; says "no such node"
    expect 2 zk -s "localhost:$ZK" frob; says "is no command"
    expect 2 zk -s "localhost:$ZK" get; says "write get PATH"
    expect 2 zk --timeout soon ls /; says "--timeout"
    zk -t 5s -a digest:me:secret stat /z; says "children   2"
    zk create -c /box
    printf 'create -e /z/mine "a b"\nls /z\nget /z/mine\n# a comment\n\ndelete /z/s-0000000000\nquit\nget /never\n' |
        timeout 20 "$PARLEY" zk -s "localhost:$ZK" >out 2>&1 || fail "exit code $? of a script"
    says mine; says "a b"
    grep -q never out && fail "went on behind quit"
    printf 'get /none\nls /\n' | timeout 20 "$PARLEY" zk -s "localhost:$ZK" >out 2>&1 && fail "a failed command of a script was not told"
    says zookeeper
    "$PARLEY" zk -s "localhost:$ZK" watch -n 2 /z >watch.log 2>&1 &
    local watcher=$!
    PIDS="$PIDS $watcher"
    wait_until grep -q watching watch.log
    zk set /z changed
    zk create /z/child x
    wait "$watcher" || fail "exit code $? of watch"
    grep -q '^changed: /z$' watch.log || fail "no event of data"
    grep -q '^children changed: /z$' watch.log || fail "no event of children"
    stop "$NODE" TERM || fail "exit code $?"
    expect 1 zk -s "localhost:$ZK" ls /; says "cannot connect"
}

test_http_is_careful() {
    one_node node data
    http GET "$HTTP" /healthz >out; says ok
    http GET "$HTTP" /metrics >out; says "parley_commit_seconds_bucket"
    http DELETE "$HTTP" /v1/members/9 >out; says '"error": "no such member"'
    http DELETE "$HTTP" /v1/members/9 "Origin: http://localhost" >out; says "403"
    http GET "$HTTP" /v1/backup "Origin: http://localhost" >out; says "403"
    expect 1 status --http "$ZK"
    stop "$NODE" TERM || fail "exit code $?"
    expect 1 status --http "$HTTP"; says "cannot connect"
}

certificate() { # NAME [HOSTS]: NAME.pem and NAME.key, signed by ca
    openssl req -newkey rsa:2048 -nodes -keyout "$1.key" -out "$1.csr" -subj "/CN=$1" >/dev/null 2>&1 || return 1
    printf 'subjectAltName=%s\n' "${2:-DNS:localhost,IP:127.0.0.1,IP:::1}" >"$1.ext"
    openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile "$1.ext" -out "$1.pem" >/dev/null 2>&1
}
serial() { openssl s_client -connect "localhost:$1" -CAfile ca.pem </dev/null 2>/dev/null | openssl x509 -noout -serial; }

test_tls() {
    command -v openssl >/dev/null || exit 77
    openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=ca >/dev/null 2>&1 || fail "openssl"
    certificate node || fail "openssl"
    take_ports 1
    local tls=$PORT
    one_node node data --zookeeper-tls "$tls" --tls-cert node.pem --tls-key node.key
    (echo ruok; sleep 1) | timeout 10 openssl s_client -quiet -connect "localhost:$tls" -CAfile ca.pem -verify_return_error >out 2>/dev/null
    says imok
    local before
    before=$(serial "$tls")
    certificate node || fail "openssl"
    kill -HUP "$NODE"
    is_new() { [ -n "$(serial "$tls")" ] && [ "$(serial "$tls")" != "$before" ]; }
    wait_until is_new
    echo broken >node.key
    kill -HUP "$NODE"
    wait_until grep -q "the old certificates stay" node.log
    is_new || fail "a broken file took the good certificate away"
    stop "$NODE" TERM || fail "exit code $?"
}

test_peer_tls() {
    command -v openssl >/dev/null || exit 77
    openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=ca >/dev/null 2>&1 || fail "openssl"
    certificate node || fail "openssl"
    BASE=""
    three_nodes dev -- --peer-tls-cert node.pem --peer-tls-key node.key --peer-tls-ca ca.pem
    zk create /secret kept
    expect 0 zk -s "localhost:$((BASE + 20))" get /secret; says kept
    stop "$DEV" INT || fail "exit code $?"
    # A certificate of the same authority, but made out for another host: whoever holds it is no node here.
    certificate other DNS:elsewhere.example || fail "openssl"
    take_ports 4
    local zk=$PORT a=$((PORT + 2)) b=$((PORT + 3))
    for id in 1 2; do
        start "strange$id" server --id $id --data "strange$id" --cluster "1=localhost:$a,2=localhost:$b" --zookeeper "$((zk + id - 1))" \
            --http off --peer "localhost:$((a + id - 1))" --peer-tls-cert other.pem --peer-tls-key other.key --peer-tls-ca ca.pem
    done
    wait_until grep -q "its certificate was refused" strange1.log
}

test_a_failed_fsync_has_its_own_exit_code() {
    cc -shared -fPIC -O1 -o shim.so "$REPO/test/chaos/shim.c" -ldl || fail "no compiler"
    printf 0 >order
    take_ports 4
    CHAOS_SHIM=$PWD/order LD_PRELOAD=$PWD/shim.so "$PARLEY" server --data data --zookeeper "$PORT" --http "$((PORT + 1))" --peer off \
        >node.log 2>&1 &
    PID=$!
    echo "$PID" >>"$ROOT/pids"
    wait_until is_ready "$((PORT + 1))"
    printf 1 >order
    run zk -s "localhost:$PORT" create /a x
    [ "$CODE" -ne 0 ] || fail "a write was acknowledged"
    wait "$PID"
    CODE=$?
    [ "$CODE" -eq 4 ] || fail "exit code $CODE instead of 4"
    grep -q "fatal" node.log || fail "it did not say why"
}

demo_facts() { # NAME USUAL OURS: what it counted, as text of its JSON
    local line
    line=$(grep "^{\"demo\":\"$1\"," facts) || fail "demo $1 did not run"
    case $line in *"\"usual\":{$2}"*) ;; *) fail "demo $1, the usual way: $line" ;; esac
    case $line in *"\"ours\":{\"leaders_killed\":1,$3}"*) ;; *) fail "demo $1, ours: $line" ;; esac
    case $line in *'"usual_failed":true,"ours_held":true'*) ;; *) fail "demo $1: $line" ;; esac
    DEMOS=$((DEMOS + 1))
}
no_demo_is_left() { ! ls -d "$PWD"/parley-demo.* >/dev/null 2>&1 && ! pgrep -f "^parley server .*$PWD/parley-demo" >/dev/null; }
test_demos_fail_and_hold_as_told() {
    export TMPDIR=$PWD
    DEMOS=0
    expect 0 demo; says "parley demo NAME"
    local listed
    listed=$(grep -c '^  [a-z]' out)
    timeout 300 "$PARLEY" demo all --json >facts 2>demo.log </dev/null || fail "exit code $?: $(cat facts)"
    demo_facts payment '"orders":3,"charges":6,"charged_twice":3' '"same_receipt":1,"orders":3,"charges":3,"charged_twice":0'
    demo_facts order '"keys":3,"read_in_order":0' '"keys":3,"read_in_order":3'
    demo_facts lock '"balance":110,"should_be":160' '"writes_refused":1,"balance":160,"should_be":160'
    demo_facts stock '"in_stock":5,"sold":10' '"in_stock":200,"sold":200,"left":0'
    local allowed # a unit whose answer was lost with its node is used, and asked for again
    allowed=$(sed -n '/"demo":"limit"/s/.*"ours":{[^}]*"allowed":\([0-9]*\)}.*/\1/p' facts)
    [ "${allowed:-0}" -ge 38 ] || fail "the limiter allowed $allowed of 40: each of two services may lose one answer"
    demo_facts limit '"limit":40,"allowed":80' "\"limit\":40,\"allowed\":$allowed"
    demo_facts result '"waiting":3,"told":0' '"waiting":3,"told":3'
    local twice
    twice=$(sed -n '/"demo":"ids"/s/.*"usual":{"ids":10000,"given_twice":\([0-9]*\)}.*/\1/p' facts)
    [ "${twice:-0}" -gt 0 ] || fail "no id was given twice by the clock"
    demo_facts ids "\"ids\":10000,\"given_twice\":$twice" \
        '"ids":800,"given_twice":0,"not_in_order":0,"invoices":10,"numbers_missing":0'
    demo_facts config '"services":3,"with_a_mixture":3' '"services":3,"with_a_mixture":0,"went_back":0,"have_the_newest":3'
    demo_facts consumer '"messages":10,"handled":7,"lost":3' '"messages":10,"handled":10,"lost":0'
    demo_facts session '"dead_but_on_duty":1,"taken_over":0' '"taken_over":1,"token_grew":1'
    demo_facts naming '"calls":12,"failed":4' '"calls":12,"failed":0'
    [ "$DEMOS" -eq "$listed" ] || fail "$listed demos are listed, and $DEMOS were looked at"
    no_demo_is_left || fail "processes or folders were left behind"
}
test_demo_says_what_failed() {
    export TMPDIR=$PWD
    expect 0 demo --help; says "usage: parley demo"; says "--base-port"; says "--json"
    grep -A2 '^    demo)' "$REPO/packaging/parley.bash-completion" | grep -q -- '--base-port --json' || fail "not completed"
    expect 2 demo nothing; says "'nothing' is no demo"
    expect 2 demo lock --base-port 80; says "--base-port"
    take_ports 23
    start taken server --data taken --zookeeper off --peer off --http $((PORT + 11)) # node 2's
    wait_until is_ready $((PORT + 11))
    expect 1 demo stock --base-port "$PORT"; says "node 2 ended"; says "FAILED"
    [ -s "$(echo parley-demo.*)/node-2.log" ] || fail "the failed demo's folder is not there"
    rm -r parley-demo.*
    # Ctrl-C, or worse, in the middle: nothing is left.
    start interrupted demo payment
    wait_until grep -q "is killed" interrupted.log
    stop "$PID" INT && fail "exit code 0 of a demo that was interrupted"
    no_demo_is_left || fail "left behind by Ctrl-C"
    start killed demo payment
    wait_until grep -q "is killed" killed.log
    stop "$PID" KILL 2>/dev/null
    rm -r parley-demo.*
    wait_until no_demo_is_left
}

# ---- all of them
passed=0 failed=0 skipped=0
names=${*:-$(declare -F | sed -n 's/^declare -f test_//p')}
for name in $names; do
    name=${name#test_}
    mkdir -p "$ROOT/$name"
    : >"$ROOT/pids"
    (
        cd "$ROOT/$name" || exit 1
        trap - EXIT
        NEXT_PORT=$((12000 + (RANDOM * 7 + $$ * 13) % 20000))
        "test_$name"
    ) >"$ROOT/$name.out" 2>&1
    code=$?
    while read -r pid; do kill -9 "$pid" 2>/dev/null; done <"$ROOT/pids"
    case $code in
    0) passed=$((passed + 1)) result=ok ;;
    77) skipped=$((skipped + 1)) result=skipped ;;
    *) failed=$((failed + 1)) result=FAILED ;;
    esac
    printf '  %-44s %s\n' "$name" "$result"
    [ $result = FAILED ] && cat "$ROOT/$name.out"
done
echo "cli: $passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
