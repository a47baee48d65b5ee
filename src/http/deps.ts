/** What the routes need of the rest of the service. */
import type { Config } from '../config.ts'
import type { Clock } from '../domain/clock.ts'
import type { Intake } from '../intake/intake.ts'
import type { Log } from '../log.ts'
import type { LoopDelay } from '../metrics/loop-delay.ts'
import type { Metrics } from '../metrics/metrics.ts'
import type { Pool } from '../pool/pool.ts'
import type { Store } from '../store/store.ts'
import type { Registry } from '../tasks/registry.ts'

export interface HttpDeps {
  readonly config: Config
  readonly store: Store
  readonly registry: Registry
  readonly intake: Intake
  readonly pool: Pool
  /** How far a running job is, from 0 to 1; null when it has not told or does not run here. */
  readonly progressOf: (runId: string, jobIndex: number) => number | null
  readonly loopDelay: LoopDelay
  readonly metrics: Metrics
  readonly clock: Clock
  readonly log: Log
}
