//go:build tools

// Package oras only names the command that is built, so that its modules stay
// in go.mod and go.sum.
package oras

import _ "oras.land/oras/cmd/oras"
