/** The model's commands: each asks the real store, and finds out whether the model can explain what it did. */
import { isDeepStrictEqual } from 'node:util'
import type { AsyncCommand } from 'fast-check'
import type { Claim } from '../../src/domain/claim.ts'
import type { RunChange, RunRecord } from '../../src/domain/run.ts'
import { until } from '../harness/until.ts'
import { perform, type Call, type Reply, type Verbs } from './calls.ts'
import { explain, type Answered, type Happened, type Seen } from './explain.ts'
import { claimAll, claimOneOfEach, type Step, type World } from './steps.ts'
import type { Member, Subject } from './subject.ts'

/** What happened so far, for the message of a failure. */
export interface Session extends World {
  readonly log: string[]
  turn: number
}

export type Command = AsyncCommand<Session, Subject>

function command(name: string, run: (session: Session, subject: Subject) => Promise<void>): Command {
  return {
    check: () => true,
    run: async (session, subject) => {
      session.log.push(`--- ${name}`)
      await run(session, subject)
    },
    toString: () => name,
  }
}

/** Asks for all of them at once. */
export function together(steps: readonly Step[]): Command {
  return command(steps.map(({ name }) => name).join(' & '), async (session, subject) => {
    const calls = callsOf(session, subject, steps)
    // A prune skips runs that another transaction has locked, so it comes after the others.
    const [prunes = [], others = []] = [true, false].map((isPrune) =>
      calls.filter(({ verb }) => (verb === 'prune') === isPrune),
    )
    const ask = (call: Call): Promise<Reply> => perform(storeOf(subject, call), call)
    const replies = [...(await Promise.all(others.map(ask))), ...(await Promise.all(prunes.map(ask)))]
    await observe(session, subject, answeredOf([...others, ...prunes], replies.map(answered)), [])
  })
}

export function pass(ms: number): Command {
  return command(`${ms} ms pass`, async ({ model }) => {
    model.at += ms
  })
}

/** A process ends with nothing handed back, and what it held is taken back. */
export function replace(nth: number): Command {
  return command(`process ${nth} dies`, async (session, subject) => {
    await subject.replace(nth % subject.members.length)
    await observe(session, subject, [], [await rescue(session, subject)])
  })
}

/** Every process that takes what is due dies of it, until each such job has lost as many starts as most may lose. */
export function poison(nth: number): Command {
  return command(`process ${nth} dies of what it claims, three times`, async (session, subject) => {
    for (let deaths = 0; deaths < 3; deaths += 1) {
      await together([claimAll(nth)]).run(session, subject)
      await replace(nth).run(session, subject)
    }
  })
}

/** A process dies in the middle of a window, and the starts before that count. */
export function restart(nth: number): Command {
  return command(`process ${nth} dies in a window`, async (session, subject) => {
    await together([claimOneOfEach(nth)]).run(session, subject)
    await replace(nth).run(session, subject)
    await together([claimOneOfEach(nth)]).run(session, subject)
  })
}

/** The process dies while all this is under way, and some of it has been answered. */
export function kill(steps: readonly Step[], count: number): Command {
  const name = `${steps.map((step) => step.name).join(' & ')}, killed after ${count} replies`
  return command(name, async (session, subject) => {
    const calls = callsOf(session, subject, steps)
    const asked = calls.map((call) => perform(storeOf(subject, call), call))
    const { promise: enough, resolve } = Promise.withResolvers<void>()
    let left = Math.min(count, asked.length)
    if (left === 0) resolve()
    for (const reply of asked) void reply.then(() => (left -= 1) === 0 && resolve())
    await enough
    await subject.kill?.()
    const replies = await Promise.all(asked)
    await observe(session, subject, answeredOf(calls, replies), [await rescue(session, subject)])
  })
}

/**
 * Others take a process for dead, and it goes on: what is asked of it while its jobs are taken back happens before that
 * or is refused, and later nothing is heard that it says of them.
 */
export function depose(nth: number, steps: readonly Step[]): Command {
  const name = `process ${nth} is taken for dead & ${steps.map((step) => step.name).join(' & ')}`
  return command(name, async (session, subject) => {
    const place = nth % subject.members.length
    const holder = subject.members[place]?.id
    const deposed = await subject.depose?.(place)
    if (deposed === undefined || holder === undefined) return
    const alive = subject.members.map(({ id }) => id)
    const calls = steps.flatMap(({ ask }) => ask(session, [...alive, holder]) ?? [])
    const store = (call: Call): Verbs => (call.by === holder ? deposed.store : storeOf(subject, call))
    const [first, ...replies] = await Promise.all([
      rescue(session, subject),
      ...calls.map(async (call) => ({ call, reply: answered(await perform(store(call), call)) })),
    ])
    session.model.alive = alive
    await observe(session, subject, [first, ...replies], [await rescue(session, subject)])
    const { at, given } = session.model
    const late: Answered[] = []
    for (const { claim } of given.filter((one) => one.holder === holder)) {
      const call: Call = { verb: 'complete', by: holder, args: [claim, '1', at] }
      late.push({ call, reply: await perform(deposed.store, call) })
    }
    await deposed.end()
    await observe(session, subject, [], late)
  })
}

/** Where nothing was killed, every call is answered. */
function answered(reply: Reply): Reply {
  if (reply === 'lost') throw new Error('there is no answer')
  return reply
}

function callsOf(session: Session, { members }: Subject, steps: readonly Step[]): Call[] {
  const ids = members.map(({ id }) => id)
  return steps.flatMap(({ ask }) => ask(session, ids) ?? [])
}

function storeOf({ members }: Subject, { by }: Call) {
  const member = members.find(({ id }) => id === by)
  if (member === undefined) throw new Error(`there is no process ${by}`)
  return member.store
}

function answeredOf(calls: readonly Call[], replies: readonly Reply[]): Answered[] {
  return calls.map((call, index) => ({ call, reply: replies[index] ?? 'lost' }))
}

async function rescue({ model: { at } }: Session, subject: Subject): Promise<Answered> {
  const [member] = subject.members
  const call: Call = { verb: 'rescue', by: member?.id ?? 0, args: [at] }
  return { call, reply: answered(await perform(storeOf(subject, call), call)) }
}

/** Reads everything, and goes on with the model that explains it. */
async function observe(session: Session, subject: Subject, atOnce: Answered[], after: Answered[]): Promise<void> {
  for (const { call, reply } of [...atOnce, ...after]) session.log.push(`${show(call)} → ${show(reply)}`)
  const { model: before } = session
  session.turn += 1
  const reader = subject.members[session.turn % subject.members.length]
  if (reader === undefined) throw new Error('nobody is alive')
  const seen = await look(reader, session)
  const isQuiet = !subject.isShared || (subject.members.length === 1 && atOnce.length < 2 && !hasLost(before))
  const happened: Happened = {
    together: atOnce,
    alive: subject.members.map(({ id }) => id),
    after,
    seen,
    isOrdered: subject.isOrdered,
    isExact: isQuiet,
  }
  const next = explain(before, happened)
  if (typeof next === 'string') throw new Error(next)
  await checkNotices(session, subject, next, seen)
  for (const [id, run] of next.runs) {
    run.version = seen.runs.get(id)?.version ?? run.version
    run.changes = 0
  }
  session.model = next
}

/** Jobs that may have killed a process wait for their turn where several processes share a store. */
function hasLost({ runs }: World['model']): boolean {
  return [...runs.values()].some(({ jobs }) => jobs.some(({ lostStarts }) => lostStarts > 0))
}

/** Those that were given last. */
const claimsLookedAt = 3

async function look({ store }: Member, { ids, model }: Session): Promise<Seen> {
  const claims = model.given.slice(-claimsLookedAt).map(({ claim }) => claim)
  const [records, page, stats, schedules, steps] = await Promise.all([
    Promise.all(ids.map((id) => store.getRun(id))),
    store.listRuns({ pageSize: 500 }),
    store.stats(model.at),
    store.listSchedules(),
    Promise.all(claims.map(async (claim) => ({ claim, stored: await store.stepsOf(claim, 0) }))),
  ])
  const runs = new Map(ids.map((id, index) => [id, records[index] ?? null]))
  return { runs, page, stats, schedules: new Map(schedules.map(({ name, revision }) => [name, revision])), steps }
}

/** Every process is notified of the newest change of each run, and the one that ran a void claim of that. */
async function checkNotices(
  { model: before }: Session,
  subject: Subject,
  next: World['model'],
  seen: Seen,
): Promise<void> {
  const { live } = seen.stats.conservation
  for (const { id, heard, backlog, paused } of subject.members) {
    const isCounted = (): boolean => (backlog() ?? live) === live
    await eventually(subject, `process ${id} has a backlog of ${live}`, isCounted)
    const knowsPaused = (): boolean => isDeepStrictEqual(new Set(paused() ?? next.paused), next.paused)
    await eventually(subject, `process ${id} knows that ${[...next.paused].join(' and ')} are paused`, knowsPaused)
    if (heard === null) continue
    for (const [runId, { changes }] of next.runs) {
      const record = seen.runs.get(runId)
      if (!record || changes === 0) continue
      // Nobody else can have seen it as it was before its jobs were claimed: that is one commit.
      const isNew = subject.isShared && !before.runs.has(runId) && record.version <= 2
      if (isNew) continue
      const last = (): RunChange | undefined => newestOf(heard.get(runId) ?? [])
      const isNewest = (): boolean => last()?.version === record.version
      await eventually(subject, `process ${id} is notified of version ${record.version} of ${runId}`, isNewest)
      checkChanges(heard.get(runId) ?? [], record, next, subject.isShared)
    }
    for (const { claim, holder } of next.voids.slice(before.voids.length)) {
      const isTold = (): boolean => heard.get(claim.runId)?.some(({ voided }) => voided.some(isSame(claim))) === true
      if (holder === id) await eventually(subject, `process ${id} is notified that ${show(claim)} is void`, isTold)
    }
  }
}

function checkChanges(
  changes: readonly RunChange[],
  run: RunRecord,
  { voids }: World['model'],
  isShared: boolean,
): void {
  const last = newestOf(changes)
  if (last?.state !== run.state || last.isAnswered !== (run.answer !== null))
    throw new Error(`the last is ${show(last)}`)
  const isLate = changes.some(({ version }, index) => version <= (changes[index - 1]?.version ?? 0))
  if (isLate && !isShared) throw new Error(`the changes are out of order: ${show(changes)}`)
  for (const claim of changes.flatMap(({ voided }) => voided)) {
    if (!voids.some((other) => isSame(claim)(other.claim))) throw new Error(`${show(claim)} is told to be void`)
  }
}

/** What another process has done can be told late. */
const newestOf = (changes: readonly RunChange[]): RunChange | undefined =>
  changes.toSorted((a, b) => a.version - b.version).at(-1)

const isSame =
  (claim: Claim) =>
  (other: Claim): boolean =>
    isDeepStrictEqual(claim, other)

async function eventually({ isShared }: Subject, what: string, isTrue: () => boolean): Promise<void> {
  if (isTrue()) return
  if (!isShared) throw new Error(what)
  await until(what, isTrue)
}

const show = (value: unknown): string => JSON.stringify(value)
