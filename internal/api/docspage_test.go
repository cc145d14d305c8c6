package api_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"html/template"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs.html")

// TestGoldenDocsPage keeps docs.html equal to openapi.json.
func TestGoldenDocsPage(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	page, err := renderDocs(document)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("docs.html", page, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if written, err := os.ReadFile("docs.html"); err != nil || !bytes.Equal(written, page) {
		t.Errorf("docs.html differs from openapi.json; run `go generate ./internal/api` (%v)", err)
	}
}

// operation is a row of the page.
type operation struct {
	Method, Path, ID, Summary, Description string
	Parameters                             []fieldRow
	Example                                string
	Answers                                []answerRow
}

// parameter is one of the path, the query or the header.
type parameter struct {
	Name, Description string
	Required          bool
	Ref               string `json:"$ref"`
}

type answerRow struct{ Status, Description string }

type schemaRow struct {
	Name, Description string
	Fields            []fieldRow
}

type fieldRow struct {
	Name, Type, Description string
	Required                bool
}

func renderDocs(document []byte) ([]byte, error) {
	var doc apiDocument
	if err := json.Unmarshal(document, &doc); err != nil {
		return nil, fmt.Errorf("read the document: %w", err)
	}
	place := func(path string) string { // /v1/… before what serves the page itself
		if strings.HasPrefix(path, "/v1/") {
			return path
		}
		return "/~" + path
	}
	var operations []operation
	for _, path := range slices.SortedFunc(maps.Keys(doc.Paths), func(a, b string) int { return strings.Compare(place(a), place(b)) }) {
		for _, method := range []string{"get", "post", "patch", "delete"} {
			if raw, ok := doc.Paths[path][method]; ok {
				row, err := doc.operation(strings.ToUpper(method), path, raw)
				if err != nil {
					return nil, fmt.Errorf("read %s %s: %w", method, path, err)
				}
				operations = append(operations, row)
			}
		}
	}
	var schemas []schemaRow
	for _, name := range slices.Sorted(maps.Keys(doc.Components.Schemas)) {
		schemas = append(schemas, doc.Components.Schemas[name].row(name))
	}
	page, err := template.ParseFiles("testdata/docs.html.tmpl")
	if err != nil {
		return nil, fmt.Errorf("read the page: %w", err)
	}
	var out bytes.Buffer
	if err := page.Execute(&out, map[string]any{"Info": doc.Info, "Operations": operations, "Schemas": schemas}); err != nil {
		return nil, fmt.Errorf("make the page: %w", err)
	}
	return out.Bytes(), nil
}

// apiDocument is what the page shows of the document.
type apiDocument struct {
	Info       struct{ Title, Version, Description string } `json:"info"`
	Paths      map[string]map[string]json.RawMessage        `json:"paths"`
	Components struct {
		Schemas    map[string]schema                       `json:"schemas"`
		Parameters map[string]parameter                    `json:"parameters"`
		Responses  map[string]struct{ Description string } `json:"responses"`
	} `json:"components"`
}

// operation reads one, with what it refers to.
func (d *apiDocument) operation(method, path string, raw json.RawMessage) (operation, error) {
	var op struct {
		OperationID, Summary, Description string
		Parameters                        []parameter
		RequestBody                       struct {
			Content map[string]struct {
				Example  json.RawMessage
				Examples map[string]struct{ Value json.RawMessage }
			}
		}
		Responses map[string]struct {
			Description string
			Ref         string `json:"$ref"`
		}
	}
	if err := json.Unmarshal(raw, &op); err != nil {
		return operation{}, err
	}
	row := operation{Method: method, Path: path, ID: op.OperationID, Summary: op.Summary, Description: op.Description}
	for _, p := range op.Parameters {
		if name, ok := strings.CutPrefix(p.Ref, "#/components/parameters/"); ok {
			p = d.Components.Parameters[name]
		}
		row.Parameters = append(row.Parameters, fieldRow{Name: p.Name, Description: p.Description, Required: p.Required})
	}
	body := op.RequestBody.Content["application/json"]
	if body.Example == nil {
		body.Example = body.Examples["one"].Value
	}
	row.Example = indent(body.Example)
	for _, status := range slices.Sorted(maps.Keys(op.Responses)) {
		r := op.Responses[status]
		if name, ok := strings.CutPrefix(r.Ref, "#/components/responses/"); ok {
			r.Description = d.Components.Responses[name].Description
		}
		row.Answers = append(row.Answers, answerRow{status, r.Description})
	}
	return row, nil
}

// schema is what the page shows of one.
type schema struct {
	Type, Description string
	Enum              []string
	Ref               string `json:"$ref"`
	Required          []string
	Properties        map[string]schema
	Items             *schema
}

func (s schema) row(name string) schemaRow {
	row := schemaRow{Name: name, Description: s.Description}
	for _, field := range slices.Sorted(maps.Keys(s.Properties)) {
		p := s.Properties[field]
		row.Fields = append(row.Fields, fieldRow{field, p.kind(), p.Description, slices.Contains(s.Required, field)})
	}
	return row
}

func (s schema) kind() string {
	switch {
	case s.Ref != "":
		return strings.TrimPrefix(s.Ref, "#/components/schemas/")
	case len(s.Enum) > 0:
		return strings.Join(s.Enum, " | ")
	case s.Items != nil:
		return "list of " + s.Items.kind()
	}
	return s.Type
}

func indent(raw json.RawMessage) string {
	var out bytes.Buffer
	if raw == nil || json.Indent(&out, raw, "", "  ") != nil {
		return ""
	}
	return out.String()
}
