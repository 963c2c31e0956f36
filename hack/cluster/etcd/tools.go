//go:build tools

// Package etcd only names the command that is built, so that its modules stay
// in go.mod and go.sum.
package etcd

import _ "go.etcd.io/etcd/server/v3"
