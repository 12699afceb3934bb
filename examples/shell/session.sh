#!/bin/sh
# Uses the shell of InfluxDB 1.x (Debian: apt-get install influxdb-client). The token is the
# password.
set -eu
url=${TIDEMARK_URL:-http://127.0.0.1:8787}
export INFLUX_USERNAME=any INFLUX_PASSWORD="${TIDEMARK_TOKEN:?is the token that npm start prints}"

address=${url#*://}
host=${address%%:*}
port=${address##*:}
case $url in
  https://*) secure=-ssl; [ "$port" != "$address" ] || port=443 ;;
  *) secure=; [ "$port" != "$address" ] || port=80 ;;
esac

shell() {
  influx -host "$host" -port "$port" $secure -precision s "$@"
}

# This database keeps points permanently. A database that a write creates keeps points for three days.
shell -execute 'CREATE DATABASE demo'
for hour in 0 1 2; do
  level=$((1 + hour)).5
  shell -database demo -execute "INSERT tide,harbour=Bergen level=$level $((1700000000 + hour * 3600))"
done
shell -database demo -execute 'SELECT level FROM tide' -format csv
