package api

import (
	_ "embed" // the document and its page
	"net/http"
)

//go:generate go test -run ^TestGolden -update .

//go:embed openapi.json
var document []byte

// docsPage shows the document, without scripts. It is made from openapi.json and
// testdata/docs.html.tmpl.
//
//go:embed docs.html
var docsPage []byte

// getDocument serves the OpenAPI document.
func (s *server) getDocument(c *call) error {
	c.w.Header().Set("Content-Type", "application/json")
	c.write(http.StatusOK, document)
	return nil
}

// getDocs serves the document as a page.
func (s *server) getDocs(c *call) error {
	c.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	c.w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'")
	c.write(http.StatusOK, docsPage)
	return nil
}
