# What the scripts here have in common: suites that are started, measured and thrown away. To be sourced by one that has set
# `out` and DMP, and that may define `at_end`.

repository="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
DMP="$(realpath "$DMP")"
export DMP
port=${PORT:-17001}
mkdir -p "$out"
stage=$(mktemp -d)
started=()

say() { printf '\n--- %s (%s s)\n' "$*" "$SECONDS"; }
at_end() { :; }

# start NAME WORDS COMMAND…: runs it until `down`, and waits until it says the words.
start() {
    local said="$stage/$1.said" words=$2 until=$((SECONDS + 60))
    shift 2
    # What an earlier one said is not its word.
    : >"$said"
    "$@" >>"$said" 2>>"$stage/log" &
    started+=($!)
    until grep -q "$words" "$said"; do
        kill -0 "${started[-1]}" && ((SECONDS < until)) || { tail "$stage/log" >&2; return 1; }
        sleep 0.2
    done
}

down() {
    ((${#started[@]} == 0)) || { kill "${started[@]}" 2>/dev/null || true; wait "${started[@]}" || true; }
    started=()
    rm -rf "$stage/data"
}

finish() {
    local status=$?
    down
    at_end
    rm -rf "$stage"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

# up OPTIONS…: a new suite, in one process.
up() {
    start suite 'Stop with Ctrl-C' "$DMP" --data "$stage/data" up --base-port "$port" "$@"
    data="$stage/data"
}

# up_apart SECURITY: a new suite as it is deployed: a process for each service, with SQLite; `tls`: mutual TLS between them,
# or `clear`.
up_apart() {
    local service own=$port clear=()
    [[ $1 == tls ]] || clear=(-e '/^\[tls\]/,/^$/d' -e 's|https://127|http://127|' -e '/^trust/d')
    mkdir -p "$stage/data/registered"
    # A copy, for it writes beside itself where it is not root.
    cp "$repository/deploy/make-secrets" "$stage/make-secrets"
    DMP_IDENTIFIER_PORT=$port DMP_CONSENT_PORT=$((port + 1)) DMP_DOSSIER_PORT=$((port + 2)) \
        DMP_MESSAGING_PORT=$((port + 3)) "$stage/make-secrets" "$stage/data/secrets" >/dev/null
    data="$stage/data/secrets/keys"
    sed -i -e '' "${clear[@]}" "$data/endpoints.toml"
    for service in identifier consent dossier messaging; do
        # As in the containers, but for where things are.
        sed -E -e "s|/run/secrets|$stage/data/secrets/$service|" -e "s|/run/registered|$stage/data/registered|" \
            -e "s|//identifier\.mesh:.*\"|//127.0.0.1:$port\"|" -e "s|//consent\.mesh:.*\"|//127.0.0.1:$((port + 1))\"|" \
            -e "s|//dossier\.mesh:.*\"|//127.0.0.1:$((port + 2))\"|" "${clear[@]}" \
            "$repository/deploy/config/$service.toml" >"$stage/data/$service.toml"
        start "$service" 'is serving on' env "DMP_LISTEN=127.0.0.1:$own" "DMP_DATABASE__URL=sqlite://$stage/data/$service.db" \
            "$DMP" serve "$service" --config "$stage/data/$service.toml"
        own=$((own + 1))
        [[ $service != identifier ]] || "$DMP" --data "$data" host --structure-id 1750000010 --name 'Local host' \
            --decision 'for measuring' --out "$stage/data/registered/host_id" >/dev/null
    done
}

# load NAME WHAT…: `dmp load`, with its report in three forms.
load() {
    local name=$1
    shift
    say "$name"
    "$DMP" --data "$data" load "$@" --json "$out/$name.json" --html "$out/$name.html" >"$out/$name.txt"
    cat "$out/$name.txt"
}
