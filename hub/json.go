package hub

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// JSONFault is err, which encoding/json has returned, in words that a client
// understands: of a value of the wrong kind they are its name and its kind, and
// not what Go calls them. embedded is the name of the struct that is embedded in
// what was read, if one is: encoding/json takes it for a part of the name.
func JSONFault(err error, embedded string) error {
	wrong, ok := errors.AsType[*json.UnmarshalTypeError](err)
	if !ok {
		return err
	}
	kind, _, _ := strings.Cut(wrong.Value, " ") // of a number, the digits follow
	switch kind {
	case "array", "object":
		kind = "an " + kind
	case "bool":
		kind = "a boolean"
	default:
		kind = "a " + kind
	}
	if wrong.Field == "" {
		return fmt.Errorf("it is %s", kind)
	}
	return fmt.Errorf("%q can't be %s", strings.TrimPrefix(wrong.Field, embedded+"."), kind)
}
