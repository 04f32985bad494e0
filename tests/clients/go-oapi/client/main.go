// SPDX-License-Identifier: MIT

// A client by oapi-codegen: posts one event and several, lists them, reads the dead
// letters, and prints what it was told.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/google/uuid"

	"example.invalid/oapi/api"
)

var background = context.Background()

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func event(service, message string, timestamp any) api.Event {
	metadata := api.Metadata{"from": "oapi", "nested": map[string]any{"n": 1}}
	made := api.Event{Service: service, Message: message, Metadata: &metadata}
	var err error
	switch time := timestamp.(type) {
	case string:
		err = made.Timestamp.FromTimestampText(time)
	case float64:
		err = made.Timestamp.FromTimestampNumber(time)
	}
	if err != nil {
		panic(err)
	}
	return made
}

func post(client *api.ClientWithResponses, body api.EventsBody) *api.Taken {
	prefer := "wait=20"
	params := &api.AcceptEventsParams{Prefer: &prefer}
	answer := must(client.AcceptEventsWithResponse(background, params, body))
	if answer.JSON201 == nil {
		panic(answer.Status() + string(answer.Body))
	}
	return answer.JSON201
}

func main() {
	service := os.Args[2]
	client := must(api.NewClientWithResponses(os.Args[1]))
	var single, several api.EventsBody
	if err := single.FromEvent(event(service, "one", "2026-11-24T08:24:26.123Z")); err != nil {
		panic(err)
	}
	list := api.EventList{event(service, "two", 1795508667.0), event(service, "three", 1795508668.5)}
	if err := several.FromEventList(list); err != nil {
		panic(err)
	}
	one := post(client, single)
	many := post(client, several)

	order := "ASC"
	page := must(client.ListEventsWithResponse(background, &api.ListEventsParams{
		Service: service, From: "2026-11-24", To: "2026-11-25", SortOrder: &order,
	})).JSON200
	listed := [][]any{}
	for _, item := range page.Items {
		listed = append(listed, []any{item.EventId, item.Message, (*item.Metadata)["from"]})
	}
	limit := 10
	letters := must(client.ListDeadLettersWithResponse(background, &api.ListDeadLettersParams{Limit: &limit})).JSON200
	first := letters.Events[0]
	letter := must(client.GetDeadLetterWithResponse(background, first.Id, nil)).JSON200
	nobody := uuid.MustParse("01936b6e-0f5a-4d3e-8a1b-0123456789ab")
	missing := must(client.GetDeadLetterWithResponse(background, nobody, nil)).JSON404
	fmt.Println(string(must(json.Marshal(map[string]any{
		"one":     one.EventId,
		"many":    many.EventIds,
		"listed":  listed,
		"dead":    []any{first.EventId, first.SqlState, letter.OriginalEvent.Message},
		"missing": missing.ErrorCode,
	}))))
}
