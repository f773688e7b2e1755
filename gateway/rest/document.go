package rest

import (
	_ "embed" // for the document
	"net/http"
	"strconv"
)

// document describes the API as OpenAPI 3.1. It is beside the code because it
// is a part of the program; test/docs holds it against what a hub does.
//
//go:embed openapi.yaml
var document []byte

// DocumentPath is where [Document] belongs.
const DocumentPath = "/openapi.yaml"

// Document serves the OpenAPI document to anybody: it says nothing that is not
// the same on every hub.
func Document() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "application/yaml")
		h.Set("Content-Length", strconv.Itoa(len(document)))
		_, _ = w.Write(document) // nobody is there to be told
	})
}
