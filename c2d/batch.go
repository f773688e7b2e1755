package c2d

// Batch is feedback that one reader has, until it settles all of it or its lock
// ends. IoT Hub puts as many records into one message of feedback.
type Batch struct {
	// Token names the lock; it is opaque, and good on every node.
	Token   string
	Records []Feedback // the oldest first
}

// MaxBatch is how many records a batch has at most.
const MaxBatch = 64
