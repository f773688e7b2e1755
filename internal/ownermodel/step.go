package ownermodel

import "fmt"

// Step is the label of what happens: a verb, and a connection or nodes.
type Step struct {
	verb verb
	a, b uint8
}

// verb is a format of a step, with what it is about.
type verb string

// What happens by itself, sooner or later.
const (
	storeTakes   verb = "the store gets the write of c%d"
	answerComes  verb = "c%d hears what became of its write"
	isProven     verb = "the node of c%d is alive, and c%d is accepted"
	asksRelease  verb = "the node of c%d releases it"
	nodeFinds    verb = "n%d finds that it was held for dead"
	nodeDeclares verb = "n%d holds n%d for dead"
	repairReads  verb = "n%d reads what n%d has left"
	repairStored verb = "the store gets the repair of n%d"
	repairHears  verb = "n%d hears what became of its repair"
	sessionIsIll verb = "n%d sees a session that n%d has left"
	debtIsSeen   verb = "n%d sees what n%d owed"
	repairEnds   verb = "n%d has repaired what n%d has left"
	endsTold     verb = "n%d tells the ends that it owes"
	willsSent    verb = "n%d sends the wills that it owes"
	willsNoted   verb = "n%d notes that it has sent them"
	nodeSweeps   verb = "n%d ends its session that it does not know"
)

// What the world does.
const (
	clientComes  verb = "a client connects: c%d to n%d"
	clientSaves  verb = "the client of c%d subscribes"
	clientGoes   verb = "the client of c%d says DISCONNECT"
	clientIsLost verb = "the client of c%d is lost"
	claimIsHeard verb = "the node of c%d hears of a newer claim"
	waitEnds     verb = "the node of c%d waits no more for an answer"
	waitOver     verb = "n%d waits no more for the answer to its repair"
	nodeDies     verb = "n%d dies"
	nodeStarts   verb = "n%d starts again"
	nodeStops    verb = "n%d stands still"
	nodeGoesOn   verb = "n%d goes on"
	nodeSuspects verb = "n%d holds n%d for dead, which lives"
	strayTaken   verb = "the store gets the stray write %d"
	strayCopied  verb = "the store gets the stray write %d, and will once more"
	strayLost    verb = "the stray write %d is lost"
)

// String implements [fmt.Stringer].
func (s Step) String() string {
	switch s.verb {
	case isProven:
		return fmt.Sprintf(string(s.verb), s.a, s.a)
	case nodeDeclares, repairReads, repairEnds, debtIsSeen, sessionIsIll, clientComes, nodeSuspects:
		return fmt.Sprintf(string(s.verb), s.a, s.b)
	default:
		return fmt.Sprintf(string(s.verb), s.a)
	}
}

// World implements [Label].
func (s Step) World() bool {
	switch s.verb {
	case clientComes, clientSaves, clientGoes, clientIsLost, claimIsHeard, waitEnds, waitOver,
		nodeDies, nodeStarts, nodeStops, nodeGoesOn, nodeSuspects, strayTaken, strayCopied, strayLost:
		return true
	default:
		return false
	}
}
