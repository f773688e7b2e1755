// Package jobs is scheduled jobs: one twin update or one direct method for all
// devices that a condition selects, at a time, with its progress, its outcome
// for each device, and its end.
//
// Source: Microsoft's page "schedule jobs on multiple devices" and the service
// API's /jobs/v2.
package jobs
