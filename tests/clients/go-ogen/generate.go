// SPDX-License-Identifier: MIT

// Package ogen has its client generated.
package ogen

//go:generate go tool ogen --target api --package api --clean openapi.yaml
