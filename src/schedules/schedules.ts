/** The operations on schedules. The ticker makes their runs. */
import { AppError, BootError, messageOf } from '../domain/errors.ts'
import { writeJson } from '../domain/json.ts'
import type { RunRequest } from '../domain/run/new-run.ts'
import type { RunRecord } from '../domain/run.ts'
import {
  isScheduleName,
  maxSchedules,
  scheduleTag,
  type Schedule,
  type ScheduleDefinition,
} from '../domain/schedule.ts'
import type { Intake } from '../intake/intake.ts'
import type { Log } from '../log.ts'
import type { ProcessClock } from '../runtime/clock.ts'
import type { Store } from '../store/store.ts'
import type { Registry } from '../tasks/registry.ts'
import { createCheck, type DeclaredSchedule, errorOfIssues, type ScheduleInput, storedRequest } from './definition.ts'
import { pause, put, type PutSchedule, resume } from './rules.ts'
import { createTicker, type Ticker, type TickOutcome } from './ticker.ts'
import type { Timetable } from './timetable.ts'

export interface PutResult {
  readonly schedule: Schedule
  readonly isNew: boolean
}

export interface Schedules extends Pick<Ticker, 'clockStepped' | 'stop'> {
  /** All schedules in order of their names. */
  list(): Promise<readonly Schedule[]>
  /** @throws AppError `schedule-not-found` */
  get(name: string): Promise<Schedule>
  /** @throws AppError `validation-error` or `unknown-task` with a pointer for each issue, or `schedule-declared` */
  put(name: string, input: ScheduleInput): Promise<PutResult>
  /** @throws AppError `schedule-not-found` or `schedule-declared` */
  remove(name: string): Promise<void>
  /** @throws AppError `schedule-not-found` */
  setPaused(name: string, isPaused: boolean): Promise<Schedule>
  /** Makes a run now; it does not count as a tick. @throws AppError `schedule-not-found`, and those of `intake.submit` */
  run(name: string): Promise<RunRecord>
  /** Checks the declared schedules. @throws BootError that names the first wrong one */
  checkDeclared(): Promise<void>
  /** Writes the declared schedules, and starts the ticker. */
  start(): Promise<void>
}

export interface SchedulesOptions {
  readonly store: Store
  readonly intake: Pick<Intake, 'prepare' | 'admit' | 'submit'>
  readonly registry: Registry
  readonly declared: readonly DeclaredSchedule[]
  /** @throws AppError with a pointer for each issue */
  readonly parse: (body: unknown) => ScheduleInput
  readonly clock: ProcessClock
  readonly log: Log
  readonly onTick?: (outcome: TickOutcome) => void
}

export function createSchedules(options: SchedulesOptions): Schedules {
  const { store, intake, registry, declared, parse, clock, log } = options
  const check = createCheck(intake, clock)
  const declaredNames = new Set(declared.map(({ name }) => name))
  /** Filled by `checkDeclared`. */
  const declaredInputs = new Map<string, ScheduleInput>()
  const ticker = createTicker({
    ...options,
    makeRun: async (schedule) => intake.prepare(requestOf(schedule)),
    timetableOf,
    isOurs,
  })

  /** Processes with the code of a declared schedule handle its ticks, and no others. */
  function isOurs({ name, isDeclared }: Schedule): boolean {
    return !isDeclared || declaredNames.has(name)
  }

  function requestOf(schedule: Schedule): RunRequest {
    const { tasks, tags, ...rest } = storedRequest(schedule)
    const [first, ...others] = tasks
    if (first === undefined) throw new Error(`the schedule ${schedule.name} has no task`)
    // A first job has one attempt by default, because a caller waits for it. Here none does, so its task sets the number.
    const maxAttempts = first.maxAttempts ?? registry.get(first.name)?.policy.maxAttempts
    return { ...rest, tasks: [{ ...first, maxAttempts }, ...others], tags: [...tags, scheduleTag(schedule.name)] }
  }

  async function get(name: string): Promise<Schedule> {
    const schedule = isScheduleName(name) ? await store.getSchedule(name) : null
    if (schedule === null) throw notFound(name)
    return schedule
  }

  /**
   * Writes a new state of a schedule, and starts again if another process has written it meanwhile.
   * @param next gets null if there is no schedule, and returns null to remove it; may be called several times
   */
  async function change<Next extends Schedule | null>(
    name: string,
    next: (before: Schedule | null) => Next | Promise<Next>,
  ): Promise<Next> {
    for (;;) {
      const before = await store.getSchedule(name)
      const to = await next(before)
      if (to === before) return to
      const result = await store.changeSchedule({ name, from: before?.revision ?? null, to, run: null }, clock.now())
      if (result === 'full') throw invalid(`there are ${maxSchedules} schedules, and no more fit`)
      if (result === 'changed') {
        ticker.wake()
        return to
      }
    }
  }

  async function putChecked(
    name: string,
    definition: ScheduleDefinition,
    stateOf: (before: Schedule | null) => Pick<PutSchedule, 'isDeclared' | 'isPaused'>,
  ): Promise<PutResult> {
    const timetable = await timetableOf(definition)
    // Of the last call of the function: that state was written.
    let isNew = false
    const schedule = await change(name, (before) => {
      isNew = before === null
      return put(before, { ...definition, name, ...stateOf(before) }, timetable, clock.now())
    })
    return { schedule, isNew }
  }

  function checkNotDeclared(name: string): void {
    if (!declaredNames.has(name)) return
    throw new AppError('schedule-declared', `the schedule ${name} is declared in code: it can be paused, and run`)
  }

  /** Removes schedules that no code declares any more. With a shared store they stay: another process may declare them. */
  async function removeUndeclared(): Promise<void> {
    if (store.notifier !== null) return
    for (const schedule of await store.listSchedules()) {
      if (isOurs(schedule)) continue
      const { name } = schedule
      await change(name, () => null)
      log.info({ schedule: name }, `the schedule ${name} is gone: no code declares it any more`)
    }
  }

  return {
    list: store.listSchedules,
    get,
    async put(name, input) {
      if (!isScheduleName(name)) throw invalid(`the name ${nameRule}`)
      checkNotDeclared(name)
      return putChecked(name, await check(input), () => ({ isDeclared: false, isPaused: input.paused }))
    },
    async remove(name) {
      checkNotDeclared(name)
      await get(name)
      await change(name, () => null)
    },
    async setPaused(name, isPaused) {
      await get(name)
      return change(name, async (before) => {
        if (before === null) throw notFound(name)
        return isPaused ? pause(before) : resume(before, await timetableOf(before), clock.now())
      })
    },
    async run(name) {
      const request = requestOf(await get(name))
      return (await intake.submit(request, { waitMs: 0, idempotency: null, traceparent: null })).run
    },
    async checkDeclared() {
      for (const { name, body, label } of declared) {
        try {
          if (!isScheduleName(name)) throw new Error(`its name ${nameRule}`)
          const input = parse(body)
          await check(input)
          declaredInputs.set(name, input)
        } catch (error) {
          throw new BootError(`${label}: ${messageOf(error)}`, error)
        }
      }
    },
    async start() {
      await removeUndeclared()
      for (const [name, { cron, timeZone, request, missed, paused }] of declaredInputs) {
        const definition = { cron, timeZone, request: writeJson(request), missed }
        const before = await store.getSchedule(name)
        if (before !== null && before.isDeclared && isSame(before, definition)) continue
        await putChecked(name, definition, (old) => ({ isDeclared: true, isPaused: old?.isPaused ?? paused }))
      }
      ticker.start()
    },
    clockStepped: ticker.clockStepped,
    stop: ticker.stop,
  }
}

const nameRule = 'must be 1–64 letters, digits, "-" and "_"'

/** The first schedule loads the module; a service without one does not need it. */
async function timetableOf({ cron, timeZone }: Pick<Schedule, 'cron' | 'timeZone'>): Promise<Timetable> {
  const { createTimetable } = await import('./timetable.ts')
  return createTimetable(cron, timeZone)
}

function isSame(one: ScheduleDefinition, other: ScheduleDefinition): boolean {
  return (
    one.cron === other.cron &&
    one.timeZone === other.timeZone &&
    one.request === other.request &&
    one.missed === other.missed
  )
}

/** For a fault outside the members of the body. */
function invalid(detail: string): AppError {
  return errorOfIssues('validation-error', [{ pointer: '', detail }])
}

function notFound(name: string): AppError {
  return new AppError('schedule-not-found', `there is no schedule ${name}`)
}
