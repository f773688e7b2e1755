package subject

import (
	"strconv"
	"strings"

	"github.com/hubgate/hubgate/hub"
)

// JobName is the name of the job service as nats micro shows it.
func (n Names) JobName() string { return n.prefix() + "-job" }

// JobVerb is the subject of an operation on all jobs, hub.job.{verb}.
func (n Names) JobVerb(v Verb) string { return n.prefix() + ".job." + string(v) }

// JobAll matches every job's subject of one verb, hub.job.{verb}.*.
func (n Names) JobAll(v Verb) string { return n.JobVerb(v) + ".*" }

// Job is the subject of an operation on one job, hub.job.{verb}.{job}, with its id
// encoded as those of devices are.
func (n Names) Job(v Verb, job string) string { return n.JobVerb(v) + "." + EncodeToken(job) }

// ParseJob returns the id of the job that a subject of [Names.Job] names. It fails
// with [hub.ArgumentInvalid].
func (n Names) ParseJob(v Verb, subject string) (string, error) {
	token, ok := strings.CutPrefix(subject, n.JobVerb(v)+".")
	if !ok {
		return "", hub.Errorf(hub.ArgumentInvalid, "%q does not begin with %s.", subject, n.JobVerb(v))
	}
	return DecodeToken(token)
}

// JobBucket is the KV bucket of scheduled jobs, hub_jobs.
func (n Names) JobBucket() string { return n.prefix() + "_jobs" }

// JobRowBucket is the KV bucket of what has become of each device of each job,
// hub_jobrows.
func (n Names) JobRowBucket() string { return n.prefix() + "_jobrows" }

// JobKey is the KV key of a job.
func JobKey(job string) string { return EncodeToken(job) }

// JobRowKey is the KV key of a device's row of a job, {job}.{device}[.{module}].
func JobRowKey(job string, id hub.Identity) string {
	b := append(AppendToken(nil, job), '.')
	return string(AppendKey(b, id))
}

// JobRowKeys matches the KV keys of all rows of a job.
func JobRowKeys(job string) string { return EncodeToken(job) + ".>" }

// JobFenceKey is the KV key of one part of the fence before the rows of a job,
// {job}/{number}. No row has such a key.
func JobFenceKey(job string, part int) string { return EncodeToken(job) + "/" + strconv.Itoa(part) }

// ParseJobRowKey is the inverse of [JobRowKey]. It fails with
// [hub.ArgumentInvalid], also for a [JobFenceKey].
func ParseJobRowKey(key string) (job string, id hub.Identity, err error) {
	token, rest, _ := strings.Cut(key, ".")
	if job, err = DecodeToken(token); err != nil {
		return "", hub.Identity{}, err
	}
	id, err = ParseKey(rest)
	return job, id, err
}
