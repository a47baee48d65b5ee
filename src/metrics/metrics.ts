/** The service's own numbers for Prometheus: what is counted as it happens, and what is looked up when somebody asks. */
import { Counter, Histogram, Registry } from 'prom-client'
import type { EndedAttempt } from '../dispatch/execute.ts'
import type { ClaimedJob, AttemptOutcome } from '../domain/claim.ts'
import type { TryOutcome } from '../webhooks/sender.ts'
import { createObserved, type Sources } from './observed.ts'
import { createRecent, type RecentFigures } from './recent.ts'

export interface Metrics {
  /** The answer of a run was decided, so long after its request came. */
  answered(tookMs: number): void
  /** A group of so many verbs was committed. */
  committed(verbs: number, tookMs: number): void
  /** Jobs of a process that died were taken back. */
  recovered(jobs: number): void
  attemptStarted(job: ClaimedJob): void
  attemptEnded(attempt: EndedAttempt): void
  webhookTried(outcome: TryOutcome, tookMs: number): void
  webhookGivenUp(): void
  /** What has become of a tick of a schedule. */
  ticked(outcome: string): void
  /** The last minutes of this process. */
  recent(): RecentFigures
  /** Claims of this process that ended, or whose attempts were stopped, without a cancel or an outcome. */
  lostClaims(): number
  /** Has the open streams counted by this function whenever somebody asks. */
  observeStreams(count: () => number): void
  /** All of them in Prometheus' text format. @throws AppError `store-unavailable` */
  text(): Promise<string>
  readonly contentType: string
  stop(): void
}

const sPerMs = 0.001
/** From a commit on a good disk to a job of several minutes, in seconds. */
const quick = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10]
const slow = [0.001, 0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800]
const groupSizes = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000]

export function createMetrics(sources: Sources): Metrics {
  const registry = new Registry()
  const registers = [registry]
  const firstResponse = new Histogram({
    name: 'forerunner_first_response_seconds',
    help: 'From the request to the decided answer of its run',
    buckets: quick,
    registers,
  })
  const commit = new Histogram({
    name: 'forerunner_commit_seconds',
    help: 'How long one group of the store took, on its way and on disk',
    buckets: quick,
    registers,
  })
  const groupSize = new Histogram({
    name: 'forerunner_commit_verbs',
    help: 'How many verbs one group of the store held',
    buckets: groupSizes,
    registers,
  })
  const queueWait = new Histogram({
    name: 'forerunner_queue_wait_seconds',
    help: 'How long jobs of the pool were due before they were claimed',
    labelNames: ['kind'],
    buckets: slow,
    registers,
  })
  const duration = new Histogram({
    name: 'forerunner_job_duration_seconds',
    help: 'How long one attempt took, by its outcome',
    labelNames: ['task', 'outcome'],
    buckets: slow,
    registers,
  })
  const jobs = new Counter({
    name: 'forerunner_jobs_total',
    help: 'Jobs that ended for good after an attempt here, by its outcome',
    labelNames: ['task', 'outcome'],
    registers,
  })
  const retries = new Counter({
    name: 'forerunner_retries_total',
    help: 'Attempts that did not succeed and are followed by another',
    labelNames: ['task'],
    registers,
  })
  const webhooks = new Histogram({
    name: 'forerunner_webhook_seconds',
    help: 'How long one try to send a webhook took, by its outcome',
    labelNames: ['outcome'],
    buckets: slow,
    registers,
  })
  const givenUp = new Counter({
    name: 'forerunner_webhooks_given_up_total',
    help: 'Webhooks that were given up: the last try failed, or the receiver answered 410',
    registers,
  })
  const ticks = new Counter({
    name: 'forerunner_schedule_ticks_total',
    help: 'Ticks of schedules that this process has dealt with, by what became of them: run, missed or refused',
    labelNames: ['outcome'],
    registers,
  })
  let stopped = 0
  const lostClaims = (): number => (sources.store.notifier?.lostClaims() ?? 0) + stopped
  const recent = createRecent(sources)
  let openStreams = (): number => 0
  const observe = createObserved({ ...sources, lostClaims, openStreams: () => openStreams() }, registry)

  return {
    answered(tookMs) {
      firstResponse.observe(tookMs * sPerMs)
      recent.answered(tookMs)
    },
    committed(verbs, tookMs) {
      commit.observe(tookMs * sPerMs)
      groupSize.observe(verbs)
    },
    ticked: (outcome) => ticks.inc({ outcome }),
    lostClaims,
    observeStreams(count) {
      openStreams = count
    },
    recovered: recent.recovered,
    webhookTried: (outcome, tookMs) => webhooks.observe({ outcome }, tookMs * sPerMs),
    webhookGivenUp: () => givenUp.inc(),
    attemptStarted: recent.attemptStarted,
    attemptEnded(attempt) {
      const { job, outcome, tookMs, isFinal, wasStopped } = attempt
      recent.attemptEnded(attempt)
      if (wasStopped) stopped += 1
      const labels = { task: job.task, outcome: nameOf(outcome) }
      if (job.thread !== 'main') queueWait.observe({ kind: job.kind }, job.waitedMs * sPerMs)
      duration.observe(labels, tookMs * sPerMs)
      if (isFinal) jobs.inc(labels)
      else if (outcome !== 'released' && !outcome.ok && outcome.error.code !== 'cancelled')
        retries.inc({ task: job.task })
    },
    async text() {
      await observe()
      return registry.metrics()
    },
    recent: recent.read,
    contentType: registry.contentType,
    stop: recent.stop,
  }
}

function nameOf(outcome: AttemptOutcome): string {
  if (outcome === 'released') return outcome
  return outcome.ok ? 'completed' : outcome.error.code
}
