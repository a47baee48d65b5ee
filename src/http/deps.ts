/** What the routes need of the rest of the service. */
import type { Config } from '../config.ts'
import type { Clock } from '../domain/clock.ts'
import type { Intake } from '../intake/intake.ts'
import type { Log } from '../log.ts'
import type { LoopDelay } from '../metrics/loop-delay.ts'
import type { Metrics } from '../metrics/metrics.ts'
import type { Pool } from '../execution/pool/pool.ts'
import type { Store } from '../store/store.ts'
import type { Registry } from '../tasks/registry.ts'
import type { Answers } from './answers.ts'
import type { BodyParser } from './body-parser.ts'
import type { ByteBudget } from './byte-budget.ts'
import type { EventStreams } from './event-streams.ts'
import type { LongPolls } from './long-poll.ts'
import type { ViewOptions } from './run-view.ts'

export interface HttpDeps {
  readonly config: Config
  readonly store: Store
  readonly registry: Registry
  readonly intake: Intake
  readonly pool: Pool
  /** Why the process should get no requests now, beside what the store says; null when nothing is wrong. */
  readonly trouble: () => string | null
  /** How runs are shown here. */
  readonly view: ViewOptions
  /** Of all addresses that are given out; empty where the service is at the root of its host. */
  readonly prefix: string
  readonly answers: Answers
  readonly bodyParser: BodyParser
  /** For bodies that are received, and of requests that are answered. */
  readonly bodyBudget: ByteBudget
  readonly polls: LongPolls
  readonly streams: EventStreams
  readonly loopDelay: LoopDelay
  readonly metrics: Metrics
  readonly clock: Clock
  readonly log: Log
}
