// SPDX-License-Identifier: MIT

// A client by ogen: posts one event and several, lists them, reads the dead letters,
// and prints what it was told.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/go-faster/jx"
	"github.com/google/uuid"
	"github.com/ogen-go/ogen/ogenerrors"

	"example.invalid/ogen/api"
)

var background = context.Background()

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// The server is open.
type noToken struct{}

func (noToken) Token(context.Context, api.OperationName) (api.Token, error) {
	return api.Token{}, ogenerrors.ErrSkipClientSecurity
}

func text(id [16]byte) string { return uuid.UUID(id).String() }

func event(service, message string, timestamp api.EventTimestamp) api.Event {
	return api.Event{
		Service:   service,
		Message:   message,
		Timestamp: timestamp,
		Metadata: api.NewOptNilMetadata(api.Metadata{
			"from": jx.Raw(`"ogen"`), "nested": jx.Raw(`{"n":1}`),
		}),
	}
}

func post(client *api.Client, body api.EventsBody) api.Taken {
	params := api.AcceptEventsParams{Prefer: api.NewOptString("wait=20")}
	answer := must(client.AcceptEvents(background, &body, params))
	created, is := answer.(*api.AcceptEventsCreated)
	if !is {
		panic(fmt.Sprintf("%#v", answer))
	}
	return created.Response
}

func main() {
	service := os.Args[2]
	client := must(api.NewClient(os.Args[1], noToken{}))
	one := post(client, api.NewEventEventsBody(
		event(service, "one", api.NewTimestampTextEventTimestamp("2026-11-24T08:24:26.123Z"))))
	many := post(client, api.NewEventListEventsBody(api.EventList{
		event(service, "two", api.NewTimestampNumberEventTimestamp(1795508667)),
		event(service, "three", api.NewTimestampNumberEventTimestamp(1795508668.5)),
	}))
	ids := []string{}
	for _, id := range many.EventIds {
		ids = append(ids, text(id.Value))
	}

	page := must(client.ListEvents(background, api.ListEventsParams{
		Service: api.ServiceName(service), From: "2026-11-24", To: "2026-11-25",
		SortOrder: api.NewOptString("ASC"),
	})).(*api.EventPageHeaders).Response
	listed := [][]any{}
	for _, item := range page.Items {
		from := must(jx.DecodeBytes(item.Metadata.Value["from"]).Str())
		listed = append(listed, []any{text(item.EventId), item.Message, from})
	}
	letters := must(client.ListDeadLetters(background, api.ListDeadLettersParams{
		Limit: api.NewOptInt(10),
	})).(*api.DeadLetterPageHeaders).Response
	first := letters.Events[0]
	letter := must(client.GetDeadLetter(background, api.GetDeadLetterParams{ID: first.ID})).(*api.DeadLetterWithEventHeaders)
	nobody := api.UUID(uuid.MustParse("01936b6e-0f5a-4d3e-8a1b-0123456789ab"))
	missing := must(client.GetDeadLetter(background, api.GetDeadLetterParams{ID: nobody})).(*api.NoSuchDeadLetterHeaders)
	fmt.Println(string(must(json.Marshal(map[string]any{
		"one":     text(one.EventID.Value),
		"many":    ids,
		"listed":  listed,
		"dead":    []any{text(first.EventId), first.SqlState.Value, letter.Response.OriginalEvent.Value.Message},
		"missing": missing.Response.ErrorCode,
	}))))
}
