#!/bin/sh
# Creates a database, writes, queries and exports with curl.
set -eu
url=${TIDEMARK_URL:-http://127.0.0.1:8787}
token=${TIDEMARK_TOKEN:?is the token that npm start prints}

# --fail-with-body prints the server's error and returns a nonzero exit code.
ask() {
  curl --silent --show-error --fail-with-body -H "Authorization: Token $token" "$@"
}

# This database keeps points permanently. A database that a write creates keeps points for three days.
ask "$url/query" --data-urlencode 'q=CREATE DATABASE demo' > /dev/null

# --data-binary keeps the line breaks; -d would remove them.
ask "$url/api/v2/write?bucket=demo&precision=s" --data-binary 'tide,harbour=Bergen level=1.5 1700000000
tide,harbour=Bergen level=2.5 1700003600'

# Sends gzipped lines.
printf 'tide,harbour=Bergen level=3.5 1700007200\n' | gzip |
  ask "$url/api/v2/write?bucket=demo&precision=s" -H 'Content-Encoding: gzip' --data-binary @-

ask "$url/query" -H 'Accept: application/csv' \
  --data-urlencode 'db=demo' --data-urlencode 'epoch=s' --data-urlencode 'q=SELECT level FROM tide'

ask --compressed "$url/api/v3/export?db=demo&measurement=tide"
