//go:build linux

package main

// figure names a series of the book.
type figure struct{ row, target, metric string }

// goal is one ratio with the floor ("must") and the target ("aim") set for it;
// zero: none was set. atMost says that the smaller ratio is the better one.
type goal struct {
	id, what    string
	over, under figure
	must, aim   float64
	atMost      bool
}

// ratioResult is what a goal came to.
type ratioResult struct {
	ID     string  `json:"id"`
	What   string  `json:"what"`
	Must   float64 `json:"must,omitempty"`
	Aim    float64 `json:"aim,omitempty"`
	AtMost bool    `json:"atMost"`
	summary
	Verdict string `json:"verdict"`
	// ByCPU is the same ratio from the servers' processor time per message. It
	// differs where something else than the server was the limit, or where
	// others used its core.
	ByCPU float64 `json:"byCPU,omitempty"`
}

// goals are the ratios of the project's performance targets that this bench
// measures, by their names there.
func goals() []goal {
	list := throughputGoals()
	list = append(list, latencyGoals()...)
	list = append(list, syncGoals()...)
	list = append(list, connectGoals()...)
	list = append(list, memoryGoals()...)
	list = append(list, sizeGoals()...)
	list = append(list, stormGoals()...)
	list = append(list, conversationGoals()...)
	list = append(list, restGoals()...)
	list = append(list, fleetGoals()...)
	return append(list, queryGoals()...)
}

func throughputGoals() []goal {
	w1, w16, w64 := throughputRow("plain", 1000, 1), throughputRow("plain", 1000, 16), throughputRow("plain", 1000, 64)
	s1, s16 := throughputRow("tls1.3", 1000, 1), throughputRow("tls1.3", 1000, 16)
	rate := func(row, target string) figure { return figure{row, target, metricRate} }
	own := rate(w16, nameHubgate)
	taken := func(target string) figure { return figure{drainedCell().row, target, metricTaken} }
	return []goal{
		{id: "T1", what: "w=16 / raw JetStream, own inbox", over: own, under: rate(rowRaw, nameRawInbox), must: 0.70, aim: 1.0},
		{id: "T1a", what: "w=16 / raw JetStream, gateway's headers", over: own, under: rate(rowRaw, nameRawFull)},
		{id: "T1b", what: "w=16 / js.PublishMsgAsync", over: own, under: rate(rowRaw, nameRawJS)},
		{id: "T2", what: "w=16 / nats mqtt, offline sub", over: own, under: rate(w16, nameOffline), must: 1.4, aim: 2.0},
		{id: "T3", what: "w=16 / mosquitto", over: own, under: rate(w16, nameMosq), must: 1.0, aim: 1.5},
		{id: "T4a", what: "w=1 / nats mqtt, no sub", over: rate(w1, nameHubgate), under: rate(w1, nameNoSub), must: 1.6, aim: 2.2},
		{id: "T4b", what: "w=1 / mosquitto", over: rate(w1, nameHubgate), under: rate(w1, nameMosq), must: 0.6, aim: 0.8},
		{id: "T5a", what: "tls1.3 / plain, w=1", over: rate(s1, nameHubgate), under: rate(w1, nameHubgate), must: 0.65, aim: 0.75},
		{id: "T5b", what: "tls1.3 / plain, w=16", over: rate(s16, nameHubgate), under: own, must: 0.80, aim: 0.90},
		{id: "T6", what: "overload: w=64 / w=16", over: rate(w64, nameHubgate), under: own, must: 0.85, aim: 1.0},
		{id: "T8a", what: "delivered to one consumer / mosquitto, 1 sub", over: taken(nameHubgate), under: taken(nameMosqSub), must: 1.2, aim: 2},
		{id: "T8b", what: "delivered to one consumer / nats mqtt, 1 sub", over: taken(nameHubgate), under: taken(nameNATSSub), must: 2, aim: 3},
	}
}

func latencyGoals() []goal {
	at := func(thousands int, target, metric string) figure {
		return figure{latencyRow(thousands), target, metric}
	}
	return []goal{
		{
			id: "L1", what: "p50 at 20k/s / mosquitto", atMost: true, must: 2.5, aim: 1.7,
			over: at(20, nameHubgate, metricP50), under: at(20, nameMosq, metricP50),
		},
		{
			id: "L2a", what: "p99 at 5k/s / mosquitto", atMost: true, must: 5, aim: 2.5,
			over: at(5, nameHubgate, metricP99), under: at(5, nameMosq, metricP99),
		},
		{
			id: "L2b", what: "p99 at 20k/s / nats mqtt, offline sub", atMost: true, must: 0.3, aim: 0.12,
			over: at(20, nameHubgate, metricP99), under: at(20, nameOffline, metricP99),
		},
		{
			id: "F1", what: "p99 at 5k/s beside one at full rate / without it", atMost: true, must: 2, aim: 2,
			over: figure{rowGreedy, nameHubgate, metricP99}, under: at(5, nameHubgate, metricP99),
		},
		{
			id: "F1m", what: "the same of mosquitto", atMost: true,
			over: figure{rowGreedy, nameMosq, metricP99}, under: at(5, nameMosq, metricP99),
		},
	}
}

func connectGoals() []goal {
	var list []goal
	for i, h := range handshakes(false) {
		if h.version == 0 {
			continue
		}
		suffix := string(rune('a' + i))
		own := figure{h.row, nameHubgate, metricConnCPU}
		add := func(id, target string, must, aim float64) {
			list = append(list, goal{
				id: id, what: h.row + " / " + target, atMost: true, must: must, aim: aim,
				over: own, under: figure{h.row, target, metricConnCPU},
			})
		}
		add("C1"+suffix, nameTLSD, 1.5, 1.25)
		add("C2"+suffix, nameNATS, 0.85, 0.7)
		add("C2"+suffix, nameMosq, 1.4, 1.1)
	}
	return list
}

func memoryGoals() []goal {
	idle := func(row, target string) figure { return figure{row, target, metricIdle} }
	own, secure := idle(rowIdlePlain, nameHubgate), idle(rowIdleSecure, nameHubgate)
	return []goal{
		{id: "M1", what: "idle plain / nats mqtt", atMost: true, must: 0.35, aim: 0.25, over: own, under: idle(rowIdlePlain, nameNATS)},
		{id: "M2a", what: "idle tls1.3 / nats mqtt", atMost: true, must: 0.65, aim: 0.45, over: secure, under: idle(rowIdleSecure, nameNATS)},
		{id: "M2b", what: "idle tls1.3 / mosquitto", atMost: true, must: 2.2, aim: 1.5, over: secure, under: idle(rowIdleSecure, nameMosq)},
	}
}

// stormGoals compare a fleet that comes back to the gateway, with tokens,
// sessions and a message each, with one that only does TLS and CONNECT.
func stormGoals() []goal {
	var list []goal
	for i, h := range storms() {
		list = append(list, goal{
			id: "R1" + string(rune('a'+i)), what: h.row + " / " + nameTLSD,
			over: figure{h.row, nameHubgate, metricStorm}, under: figure{h.row, nameTLSD, metricStorm},
		})
	}
	return list
}

// ratios computes every goal of which both sides were measured.
func (k *book) ratios() []ratioResult {
	var results []ratioResult
	for _, g := range goals() {
		values := divide(k.values(g.over.row, g.over.target, g.over.metric), k.values(g.under.row, g.under.target, g.under.metric))
		if len(values) == 0 {
			continue
		}
		s := summarize(values)
		results = append(results, ratioResult{
			ID: g.id, What: g.what, Must: g.must, Aim: g.aim, AtMost: g.atMost, summary: s, Verdict: g.verdict(s.Median),
			ByCPU: k.byCPU(g),
		})
	}
	return results
}

// byCPU is the ratio of a throughput goal in messages or operations per second of processor
// time.
func (k *book) byCPU(g goal) float64 {
	costs := map[string]string{metricRate: metricCPU, metricTaken: metricTakeCPU, metricOps: metricOpCPU, metricStorm: metricStormCPU}
	cost, ok := costs[g.over.metric]
	if !ok {
		return 0
	}
	return summarize(divide(k.values(g.under.row, g.under.target, cost), k.values(g.over.row, g.over.target, cost))).Median
}

// verdict compares a ratio with the goal.
func (g goal) verdict(v float64) string {
	better := func(limit float64) bool {
		if g.atMost {
			return v <= limit
		}
		return v >= limit
	}
	switch {
	case g.aim == 0:
		return "no target"
	case better(g.aim):
		return "aim"
	case better(g.must):
		return "must"
	}
	return "BELOW MUST"
}
