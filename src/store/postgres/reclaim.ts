/** Holds what this process owns in the database against what it runs: hands back the one, and ends the other. */
import type { Claim } from '../../domain/claim.ts'
import type { Clock } from '../../domain/clock.ts'
import type { Aftermath } from './aftermath.ts'
import type { Beside } from './beside.ts'
import type { Held } from './held.ts'
import type { Lanes } from './lanes.ts'
import type { Subscribers } from './subscribers.ts'
import { transact } from './prepared.ts'
import { prepareReclaim } from './rescue.ts'

export interface Reclaim {
  /** @throws AppError */
  run(parts: { readonly lanes: Lanes; readonly beside: Beside }): Promise<void>
  /** Claims that this process held and that ended without a word to it, since it started. */
  lostClaims(): number
}

export interface ReclaimOptions {
  readonly held: Held
  readonly aftermath: Pick<Aftermath, 'clearOrphans'>
  readonly listeners: Pick<Subscribers, 'change'>
  readonly clock: Clock
}

export function createReclaim({ held, aftermath, listeners, clock }: ReclaimOptions): Reclaim {
  let lostClaims = 0

  return {
    async run({ lanes, beside }) {
      aftermath.clearOrphans()
      // After every claim that is under way, of which it is not known yet who runs what it takes.
      const missing = (await lanes.intake.askAlone(transact(prepareReclaim(held, clock.now())))) as readonly Claim[]
      // A job that has ended is owned by no process either; that is known when its outcome has been answered.
      await lanes.settling.settled()
      const lost = missing.filter(held.void)
      lostClaims += lost.length
      const runs = await Promise.all(lost.map(({ runId }) => beside.readRun(runId)))
      for (const [index, claim] of lost.entries()) {
        const run = runs[index]
        if (!run) continue
        const { id: runId, version, state, answer } = run
        listeners.change([{ runId, version, state, isAnswered: answer !== null, voided: [claim] }])
      }
    },
    lostClaims: () => lostClaims,
  }
}
