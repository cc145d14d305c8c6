package wechat

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"strings"
)

const (
	// documentLimit is the longest document in bytes. An event has one or two
	// thousand.
	documentLimit = 1 << 20
	// documentDepth is the deepest nesting. Real events have four levels.
	documentDepth = 16
)

var (
	errDocument      = errors.New("wechat: not a document of WeChat: expected one <xml> element")
	errDocumentType  = errors.New("wechat: the document has a DTD, an entity or an instruction, which WeChat does not use")
	errDocumentDeep  = errors.New("wechat: the document is nested too deeply")
	errDocumentLarge = errors.New("wechat: the document is longer than 1 MB")
	// It does not quote the declaration.
	errDocumentEncoding = errors.New("wechat: the document declares an encoding that is not read")
)

// parseDocument returns the texts of the elements directly below <xml> that have no
// elements of their own, without white space around names and texts. Of several
// elements with one name it returns the first. It also accepts a JSON object,
// which mini programs can choose.
func parseDocument(data []byte) (map[string]string, error) {
	if len(data) > documentLimit {
		return nil, errDocumentLarge
	}
	data = trimDocument(data)
	if len(data) > 0 && data[0] == '{' {
		return parseJSONDocument(data)
	}
	return parseXMLDocument(tidy(data))
}

// trimDocument removes white space and a byte order mark.
func trimDocument(data []byte) []byte {
	return bytes.TrimSpace(bytes.TrimPrefix(bytes.TrimSpace(data), []byte("\xEF\xBB\xBF")))
}

func parseJSONDocument(data []byte) (map[string]string, error) {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(readable(data), &object); err != nil {
		return nil, errDocument // json's error may quote the document
	}
	fields := make(map[string]string, len(object))
	for name, value := range object {
		var text looseString
		if len(value) == 0 || value[0] == '{' || value[0] == '[' || json.Unmarshal(value, &text) != nil {
			continue
		}
		fields[strings.TrimSpace(name)] = strings.TrimSpace(string(text))
	}
	return fields, nil
}

// strayPattern is white space between < and a name. XML forbids it, and WeChat's
// sample of 授权用户信息变更 has it.
var strayPattern = regexp.MustCompile(`<(/?)\s+([A-Za-z_])`)

// tidy makes valid XML of a document: texts may have invalid UTF-8 and control
// characters, and names a space before them.
func tidy(data []byte) []byte {
	if !strayPattern.Match(data) && bytes.IndexFunc(data, isForbiddenInXML) < 0 {
		return data
	}
	data = bytes.ToValidUTF8(data, []byte("\uFFFD"))
	data = bytes.Map(func(r rune) rune {
		if isForbiddenInXML(r) {
			return ' '
		}
		return r
	}, data)
	var out []byte
	for len(data) > 0 {
		outside, text, found := bytes.Cut(data, []byte("<![CDATA["))
		out = append(out, strayPattern.ReplaceAll(outside, []byte("<$1$2"))...)
		if !found {
			break
		}
		inside, rest, closed := bytes.Cut(text, []byte("]]>"))
		out = append(append(out, "<![CDATA["...), inside...)
		if closed {
			out = append(out, "]]>"...)
		}
		data = rest
	}
	return out
}

func isForbiddenInXML(r rune) bool {
	return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == '\uFFFD' || r == '\uFFFE' || r == '\uFFFF'
}

// documentReader collects the fields of one document.
type documentReader struct {
	fields map[string]string
	depth  int
	ended  bool // the root element is closed
	name   string
	text   strings.Builder
	leaf   bool
}

func parseXMLDocument(data []byte) (map[string]string, error) {
	d := xml.NewDecoder(bytes.NewReader(data))
	r := documentReader{fields: make(map[string]string, 16)}
	for first := true; ; first = false {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			if !r.ended {
				return nil, errDocument
			}
			return r.fields, nil
		}
		if err != nil {
			return nil, errDocument // xml's error may quote the document
		}
		if err := r.read(token, first); err != nil {
			return nil, err
		}
	}
}

func (r *documentReader) read(token xml.Token, first bool) error {
	switch t := token.(type) {
	case xml.StartElement:
		return r.start(t.Name)
	case xml.EndElement:
		r.end()
	case xml.CharData:
		if r.depth == 0 && len(bytes.TrimSpace(t)) > 0 {
			return errDocument
		}
		if r.leaf {
			r.text.Write(t)
		}
	case xml.Directive:
		return errDocumentType
	case xml.ProcInst:
		if !first || t.Target != "xml" {
			return errDocumentType
		}
	}
	return nil
}

func (r *documentReader) start(name xml.Name) error {
	r.depth++
	switch {
	case r.depth == 1 && (r.ended || name.Local != "xml"):
		return errDocument
	case r.depth > documentDepth:
		return errDocumentDeep
	}
	r.leaf = r.depth == 2
	r.name = name.Local
	r.text.Reset()
	return nil
}

func (r *documentReader) end() {
	if r.leaf {
		if _, known := r.fields[r.name]; !known {
			r.fields[r.name] = strings.TrimSpace(r.text.String())
		}
	}
	r.leaf = false
	r.depth--
	r.ended = r.depth == 0
}
