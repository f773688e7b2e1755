package configuration

import (
	"bytes"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/hubgate/hubgate/hub"
)

// document is what counts here of the document of a device or module.
type document struct {
	etag    string // of the twin
	edge    bool   // capabilities.iotEdge
	desired *value // with who wrote each value
	shown   []Status
}

// freshETag is that of a twin which nobody has written yet.
const freshETag = "AAAAAAAAAAE="

// readDocument reads a document as the service API prints it. It fails with
// ServerError: documents are made by the hub itself.
func readDocument(text []byte) (document, error) {
	doc := document{etag: freshETag, desired: newObject(nil)}
	d := jsontext.NewDecoder(bytes.NewReader(text))
	err := eachObject(d, func(key string) (err error) {
		switch key {
		case "etag":
			doc.etag, err = readText(d)
		case "capabilities":
			doc.edge, err = readEdge(d)
		case "properties":
			doc.desired, err = readProperties(d)
		case "configurations":
			doc.shown, err = readShown(d)
		default:
			err = d.SkipValue()
		}
		return err
	})
	if err != nil {
		return document{}, hub.Errorf(hub.ServerError, "the document of a twin can't be read: %w", err)
	}
	return doc, nil
}

// eachObject is eachMember for a value that may be something else, which is
// passed over.
func eachObject(d *jsontext.Decoder, f func(key string) error) error {
	if d.PeekKind() != '{' {
		return d.SkipValue()
	}
	return eachMember(d, f)
}

func readText(d *jsontext.Decoder) (string, error) {
	t, err := d.ReadToken()
	if err != nil {
		return "", err
	}
	return t.String(), nil
}

func readEdge(d *jsontext.Decoder) (edge bool, err error) {
	err = eachObject(d, func(key string) error {
		if key == "iotEdge" {
			edge = d.PeekKind() == 't'
		}
		return d.SkipValue()
	})
	return edge, err
}

func readProperties(d *jsontext.Decoder) (*value, error) {
	desired := newObject(nil)
	err := eachObject(d, func(key string) (err error) {
		if key != "desired" {
			return d.SkipValue()
		}
		if desired, err = read(d); err == nil && !desired.object {
			desired = newObject(nil)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	metadata := desired.members[metadataKey]
	delete(desired.members, metadataKey)
	delete(desired.members, versionKey)
	attribute(desired, metadata)
	return desired, nil
}

// attribute marks who wrote the values of v, which was just read, by their
// metadata.
func attribute(v, metadata *value) {
	if !metadata.isObject() {
		return
	}
	if by := metadata.members["$lastUpdatedBy"]; by != nil && strings.HasPrefix(by.text, `"`) {
		name, _ := jsontext.AppendUnquote(nil, by.text) // was read, and so is valid
		v.by = string(name)
	}
	for key, member := range v.members {
		attribute(member, metadata.members[key])
	}
}

// readShown reads {"id":{"status":"Applied"}, …}.
func readShown(d *jsontext.Decoder) (shown []Status, err error) {
	err = eachObject(d, func(id string) error {
		s := Status{ID: id}
		err := eachObject(d, func(key string) error {
			text, err := d.ReadValue()
			if key == "status" && string(text) == `"`+applied+`"` {
				s.Applied = true
			}
			return err
		})
		shown = append(shown, s)
		return err
	})
	sortStatuses(shown)
	return shown, err
}
