package subject

// The headers that a dead letter has besides its own.
const (
	DeadLetterStatus      = "Hub-Dead-Letter-Status"      // IoT Hub's statusCode
	DeadLetterDescription = "Hub-Dead-Letter-Description" // a sentence
	DeadLetterTime        = "Hub-Dead-Letter-Time"        // RFC 3339
	DeadLetterEnqueued    = "Hub-Dead-Letter-Enqueued"    // when the message was stored, RFC 3339
	DeadLetterSequence    = "Hub-Dead-Letter-Sequence"    // its number in the stream of messages
	DeadLetterDeliveries  = "Hub-Dead-Letter-Deliveries"  // how often it was delivered in vain
	DeadLetterTruncated   = "Hub-Dead-Letter-Truncated"   // bytes of the body that are missing
)
