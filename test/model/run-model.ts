/** Runs the model's commands against a store, and at last has it do all that it still has to. */
import * as fc from 'fast-check'
import { start } from '../harness/store-run.ts'
import { until } from '../harness/until.ts'
import { depose, kill, pass, poison, replace, restart, together, type Command, type Session } from './commands.ts'
import { createModel, isFinal } from './state.ts'
import { anyStep, claimAll, resumeAll, type Step } from './steps.ts'
import type { Subject } from './subject.ts'

const dayMs = 86_400_000

const numberOf = (name: string, usual: number): number => Number(process.env[name] ?? usual)

export interface ModelOptions {
  /** How many sequences of commands; `MODEL_RUNS` multiplies it. */
  readonly runs: number
  readonly maxCommands: number
  readonly kills?: boolean
  readonly deposes?: boolean
}

const steps = fc.array(anyStep, { minLength: 2, maxLength: 4 })

function commandsOf({ kills = false, deposes = false }: ModelOptions): fc.Arbitrary<Command>[] {
  const weighted: fc.WeightedArbitrary<Command>[] = [
    { weight: 24, arbitrary: anyStep.map((step) => together([step])) },
    { weight: 8, arbitrary: steps.map(together) },
    { weight: 6, arbitrary: fc.constantFrom(1, 1, 40, 40, dayMs).map(pass) },
    { weight: 1, arbitrary: fc.nat(3).map(replace) },
    { weight: 1, arbitrary: fc.nat(3).map(poison) },
    { weight: 1, arbitrary: fc.nat(3).map(restart) },
    ...(kills
      ? [{ weight: 2, arbitrary: fc.tuple(steps, fc.nat(4)).map(([asked, count]) => kill(asked, count)) }]
      : []),
    ...(deposes
      ? [{ weight: 1, arbitrary: fc.tuple(fc.nat(3), steps).map(([nth, asked]) => depose(nth, asked)) }]
      : []),
  ]
  return [fc.oneof(...weighted)]
}

/** Fails with the shortest sequence of commands that it finds, and with the seed that leads to it. */
export async function runModel(open: () => Promise<Subject>, options: ModelOptions): Promise<void> {
  const property = fc.asyncProperty(
    fc.commands(commandsOf(options), { maxCommands: options.maxCommands, size: 'max' }),
    async (commands) => {
      await using subject = await open()
      const model = { ...createModel(start), alive: subject.members.map(({ id }) => id) }
      // Processes that share a store go by its clock for a rate, which is not the model's.
      if (subject.isShared) model.ratePerMs = null
      const session: Session = { model, ids: [], log: [], turn: 0 }
      try {
        await fc.asyncModelRun(() => ({ model: session, real: subject }), commands)
        await drain(session, subject)
      } catch (error) {
        throw new Error(tell(session, error), { cause: error })
      }
    },
  )
  const times = numberOf('MODEL_RUNS', 1)
  await fc.assert(property, {
    numRuns: Math.ceil(options.runs * times),
    // Also for the search for a shorter sequence. A verb that never replies fails.
    interruptAfterTimeLimit: times * 120_000,
    markInterruptAsFailure: true,
    seed: numberOf('MODEL_SEED', 20_261_129),
    includeErrorInReport: true,
    endOnFailure: process.env['MODEL_SHRINK'] === 'off',
  })
}

/** The whole story, with short names for the runs. */
function tell({ log, ids }: Session, error: unknown): string {
  const story = [String(error), ...log].join('\n')
  return ids.reduce((text, id, index) => text.replaceAll(id, `run-${index + 1}`), story)
}

/** All that was accepted can still be brought to its end, and then be forgotten. */
async function drain(session: Session, subject: Subject): Promise<void> {
  await pass(dayMs).run(session, subject)
  for (const step of resumeAll) await together([step]).run(session, subject)
  const isOpen = (): boolean => [...session.model.runs.values()].some(({ jobs }) => !jobs.every(isFinal))
  await until('every job is final', async () => {
    // Those that become due with the end of others can have a delay.
    await pass(40).run(session, subject)
    for (const [nth, { id: by }] of subject.members.entries()) {
      const { at } = session.model
      const rescue: Step = { name: 'rescue', ask: () => ({ verb: 'rescue', by, args: [at] }) }
      await together([rescue]).run(session, subject)
      const expire: Step = { name: 'expire', ask: () => ({ verb: 'expire', by, args: [at] }) }
      await together([expire]).run(session, subject)
      await together([claimAll(nth)]).run(session, subject)
      const running = [...session.model.runs.values()].flatMap(({ given: { id: runId }, jobs }) =>
        jobs
          .filter(({ state, holder }) => state === 'running' && holder === by)
          .map(({ index, claim: number }) => ({ runId, jobIndex: index, claim: number })),
      )
      const completing = running.map((held): Step => ({
        name: 'complete',
        ask: () => ({ verb: 'complete', by, args: [held, '1', at] }),
      }))
      // A few at once: of many there are too many orders.
      for (let done = 0; done < completing.length; done += 4) {
        await together(completing.slice(done, done + 4)).run(session, subject)
      }
    }
    return !isOpen()
  })
  // Runs that nobody reports are kept for another day.
  await pass(dayMs).run(session, subject)
  const { at } = session.model
  const by = subject.members[0]?.id ?? 0
  const prune: Step = { name: 'prune', ask: () => ({ verb: 'prune', by, args: [at + 1, 1_000, at] }) }
  await together([prune]).run(session, subject)
  if (session.model.runs.size > 0) throw new Error('a finished run is not forgotten')
}
