// SPDX-License-Identifier: MIT

// CloudEvents' SDK in one of its modes: each line of standard input is an event (a
// batch: all of them are one request), sent until it is accepted.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"log"
	"net/http"
	"os"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	"github.com/cloudevents/sdk-go/v2/binding"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
)

type line struct {
	ID   string `json:"id"`
	Text string `json:"text"`
	N    int    `json:"n"`
}

const pause = 200 * time.Millisecond
const attempts = 200

func read() []cloudevents.Event {
	var events []cloudevents.Event
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var one line
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			log.Fatal(err)
		}
		event := cloudevents.NewEvent()
		event.SetID(one.ID)
		event.SetSource("checkout")
		event.SetType("logged")
		event.SetTime(time.Now())
		event.SetExtension("extra", 7)
		if err := event.SetData(cloudevents.ApplicationJSON, one); err != nil {
			log.Fatal(err)
		}
		events = append(events, event)
	}
	return events
}

// The SDK's client has no batches: it makes the request of one.
func sendBatch(url string, events []cloudevents.Event) {
	for range attempts {
		request, err := cehttp.NewHTTPRequestFromEvents(context.Background(), url, events)
		if err != nil {
			log.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(request)
		if err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusAccepted {
				return
			}
		}
		time.Sleep(pause)
	}
	log.Fatal("the batch is not accepted")
}

func main() {
	url, mode := os.Args[1], os.Args[2]
	events := read()
	if mode == "batch" {
		sendBatch(url, events)
		return
	}
	client, err := cloudevents.NewClientHTTP()
	if err != nil {
		log.Fatal(err)
	}
	ctx := cloudevents.ContextWithTarget(context.Background(), url)
	// What it repeats by itself: 404, 413, 425, 429, 502, 503, 504, and no answer.
	ctx = cloudevents.ContextWithRetriesConstantBackoff(ctx, pause, attempts)
	if mode == "structured" {
		ctx = binding.WithForceStructured(ctx)
	} else {
		ctx = binding.WithForceBinary(ctx)
	}
	for _, event := range events {
		if result := client.Send(ctx, event); cloudevents.IsUndelivered(result) || !cloudevents.IsACK(result) {
			log.Fatal(result)
		}
	}
}
