//go:build e2e

// Package cluster pins what no `tool` line can: the Kubernetes project's own tests, which `go test -c` builds.
package cluster

import _ "k8s.io/kubernetes/test/e2e"
