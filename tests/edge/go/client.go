// Uses influxdb1-client in the same way as its users. The arguments contain the server. Prints the results as JSON.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	client "github.com/influxdata/influxdb1-client/v2"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func rows(response *client.Response) []string {
	found := []string{}
	for _, result := range response.Results {
		for _, series := range result.Series {
			for _, values := range series.Values {
				found = append(found, strings.TrimSpace(fmt.Sprintln(values...)))
			}
		}
	}
	return found
}

func main() {
	address, token := os.Args[1], os.Args[2]
	report := map[string]interface{}{}
	config := client.HTTPConfig{Addr: address, Username: "any", Password: token}
	c, err := client.NewHTTPClient(config)
	check(err)
	defer c.Close()

	_, version, err := c.Ping(10 * time.Second)
	check(err)
	report["version"] = version

	query := func(name string, q client.Query) {
		response, err := c.Query(q)
		check(err)
		check(response.Error())
		report[name] = rows(response)
	}
	query("created", client.NewQuery(`CREATE DATABASE made`, "", ""))
	query("policy", client.NewQuery(`CREATE RETENTION POLICY long ON made DURATION INF REPLICATION 1`, "", ""))

	at := time.Unix(1700000000, 123456789)
	write := func(encoding client.ContentEncoding, config client.BatchPointsConfig, names ...string) {
		http := client.HTTPConfig{Addr: address, Username: "any", Password: token, WriteEncoding: encoding}
		writer, err := client.NewHTTPClient(http)
		check(err)
		defer writer.Close()
		points, err := client.NewBatchPoints(config)
		check(err)
		for i, name := range names {
			fields := map[string]interface{}{
				"float": 1.5, "integer": int64(9007199254740993), "boolean": true, "string": `say "hi", ünïcode`,
			}
			tags := map[string]string{"a tag": "x, y=z"}
			point, err := client.NewPoint(name, tags, fields, at.Add(time.Duration(i)))
			check(err)
			points.AddPoint(point)
		}
		check(writer.Write(points))
	}
	write(client.DefaultEncoding, client.BatchPointsConfig{Database: "made", Precision: "ns"}, "types", "types")
	write(client.GzipEncoding, client.BatchPointsConfig{Database: "made", RetentionPolicy: "long"}, "kept")
	query("types", client.NewQuery(`SELECT * FROM types`, "made", "ns"))
	query("kept", client.NewQueryWithRP(`SELECT integer FROM kept`, "made", "long", "ns"))
	bound := map[string]interface{}{"tag": "x, y=z"}
	query("bound", client.NewQueryWithParameters(`SELECT count(float) FROM types WHERE "a tag" = $tag`, "made", "ns", bound))

	// Reads a chunked response chunk by chunk, and with the client joining the chunks.
	q := client.Query{Command: `SELECT integer FROM types`, Database: "made", Precision: "ns", Chunked: true, ChunkSize: 1}
	chunks, err := c.QueryAsChunk(q)
	check(err)
	count := 0
	for {
		chunk, err := chunks.NextResponse()
		if err != nil {
			break
		}
		check(chunk.Error())
		count += len(chunk.Results)
	}
	check(chunks.Close())
	report["chunks"] = count
	query("joined", q)

	response, err := c.Query(client.NewQuery(`SELECT * FROM`, "made", ""))
	check(err)
	report["wrong"] = response.Err
	lines, _ := client.NewBatchPoints(client.BatchPointsConfig{Database: "made"})
	point, _ := client.NewPoint("types", nil, map[string]interface{}{"float": "text"}, at)
	lines.AddPoint(point)
	report["conflict"] = fmt.Sprint(c.Write(lines))
	check(json.NewEncoder(os.Stdout).Encode(report))
}
