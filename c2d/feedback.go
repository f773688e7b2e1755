package c2d

import "time"

// Status is what became of a message: IoT Hub's statusCode.
type Status string

// The outcomes (Microsoft's page on C2D, "Message feedback").
const (
	Success               Status = "Success"
	Expired               Status = "Expired"
	DeliveryCountExceeded Status = "DeliveryCountExceeded"
	Rejected              Status = "Rejected" // it can't be delivered; by MQTT no device can reject
	Purged                Status = "Purged"
)

// dead reports whether the message is kept among the dead letters.
func (s Status) dead() bool {
	switch s {
	case Expired, DeliveryCountExceeded, Rejected:
		return true
	case Success, Purged:
		return false
	default:
		return false
	}
}

// Feedback tells the sender what became of a message. Its JSON is IoT Hub's
// feedback record; IoT Hub puts several of them into an array.
type Feedback struct {
	OriginalMessageID string    `json:"originalMessageId"`
	Description       string    `json:"description"`
	Status            Status    `json:"statusCode"`
	Device            string    `json:"deviceId"`
	Generation        string    `json:"deviceGenerationId"`
	Time              time.Time `json:"enqueuedTimeUtc"` // of the outcome
	Sequence          uint64    `json:"-"`               // of the message in its queue
}

// DeadLetter is a message that was not delivered and never will be, unless it
// is put back into its queue.
type DeadLetter struct {
	Message     Message
	Status      Status
	Description string // a sentence
	Time        time.Time
	Sequence    uint64 // number of the dead letter; 0: not stored
}
