// SPDX-License-Identifier: MIT

// Package api is generated.
package api

//go:generate go tool oapi-codegen -generate client,models -package api -o api.gen.go ../openapi.yaml
