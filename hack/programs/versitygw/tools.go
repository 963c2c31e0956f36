//go:build tools

// Package versitygw only names the command that is built, so that its modules stay
// in go.mod and go.sum.
package versitygw

import _ "github.com/versity/versitygw/cmd/versitygw"
