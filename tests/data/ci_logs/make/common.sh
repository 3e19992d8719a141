# Sourced by each script: a fresh project in $work, its logs into the directory above.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
logs=$(dirname "$here")
# Where a self-hosted runner of the user `runner` has a repository `shop`, so that the logs name such paths.
work=/home/runner/_work/shop/shop
mkdir -p "$(dirname "$work")" && mkdir "$work" || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

# record NAME COMMAND...: what the command prints, as a CI log has it; its failure is what we are after.
record() {
    local name=$1
    shift
    "$@" </dev/null 2>&1 | as_hosted >"$logs/$name"
    echo "$name: exit ${PIPESTATUS[0]}"
}

# Where a runner has its tools: the one thing in the logs that would name the machine they were made on.
as_hosted() {
    sed -E 's#/[^ "]*/lib/python3\.[0-9]+/#/opt/hostedtoolcache/Python/x64/lib/python3/#g; s#-- /[^ ]*/bin/python#-- python#'
}

# as_github NAME RAW COMMAND: the raw log as a GitHub runner writes it down: a time before each line, steps as groups.
as_github() {
    local name=$1 raw=$2 command=$3
    {
        echo "##[group]Run $command"
        printf '\033[36;1m%s\033[0m\n' "$command"
        echo "shell: /usr/bin/bash -e {0}"
        echo "##[endgroup]"
        cat "$logs/$raw"
        echo "##[error]Process completed with exit code 1."
        echo "Post job cleanup."
    } | awk '{ printf "2026-11-20T10:%02d:%02d.%07dZ %s\n", int(NR / 60) % 60, NR % 60, (NR * 7919) % 10000000, $0 }' >"$logs/$name"
}
