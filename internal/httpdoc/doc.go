// Package httpdoc writes the table of operations in docs/http-api.md from
// gateway/rest/openapi.yaml and from the calls that test/docs makes to a running
// hub. It has tests only: they fail while the table is stale, and with -update
// they write it (make golden).
package httpdoc
