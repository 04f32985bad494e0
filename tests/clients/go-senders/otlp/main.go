// SPDX-License-Identifier: MIT

// OpenTelemetry's SDK: each line of standard input is logged, as the variables
// OTEL_* say. With the argument "persist" a lost connection is no reason to give up.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"log"
	"net/http"
	"os"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	otellog "go.opentelemetry.io/otel/log"
	sdklog "go.opentelemetry.io/otel/sdk/log"
)

type line struct {
	Text string `json:"text"`
	N    int    `json:"n"`
}

// The exporter repeats what fails with an error that says it is temporary, and does not
// think so of a connection that was refused or reset.
type temporary struct{ error }

func (temporary) Temporary() bool { return true }

type persistent struct{}

func (persistent) RoundTrip(request *http.Request) (*http.Response, error) {
	answer, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		return nil, temporary{err}
	}
	return answer, nil
}

func main() {
	ctx := context.Background()
	var options []otlploghttp.Option
	if len(os.Args) > 1 && os.Args[1] == "persist" {
		options = append(options, otlploghttp.WithHTTPClient(&http.Client{
			Transport: persistent{}, Timeout: 10 * time.Second,
		}))
	}
	exporter, err := otlploghttp.New(ctx, options...)
	if err != nil {
		log.Fatal(err)
	}
	provider := sdklog.NewLoggerProvider(sdklog.WithProcessor(sdklog.NewBatchProcessor(exporter)))
	logger := provider.Logger("senders")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var one line
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			log.Fatal(err)
		}
		var record otellog.Record
		record.SetTimestamp(time.Now())
		record.SetSeverity(otellog.SeverityInfo)
		record.SetSeverityText("INFO")
		record.SetBody(attribute.StringValue(one.Text))
		record.AddAttributes(
			attribute.Int("n", one.N),
			attribute.Float64("ratio", 0.5),
			attribute.StringSlice("list", []string{"a", "b"}),
		)
		logger.Emit(ctx, record)
	}
	if err := provider.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
}
