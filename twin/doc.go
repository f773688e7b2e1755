// Package twin holds the twins of devices and modules: the document with its
// tags, desired and reported properties, the rules by which it is merged,
// versioned and limited, and the operations that the device and the back end
// have on it. It knows neither MQTT nor NATS; [Store] is what it needs of them.
//
// JSON is handled as tokens. The text of numbers is kept as it was sent, keys
// keep the order in which they first came, duplicate keys are refused, and no
// path syntax is ever made of a key.
package twin
