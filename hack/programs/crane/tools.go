//go:build tools

// Package crane only names the command that is built, so that its modules stay
// in go.mod and go.sum.
package crane

import _ "github.com/google/go-containerregistry/cmd/crane"
