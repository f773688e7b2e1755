// Package timeline keeps, for each device and for each address that nobody
// vouches for, why the hub refused, cut, slowed or dropped something. It bounds
// what is kept: repetitions become one entry with a count, and a flood of
// different ones is sampled. MQTT 3.1.1 has no way to tell a device why it was
// cut; this is where its operator looks instead.
package timeline
