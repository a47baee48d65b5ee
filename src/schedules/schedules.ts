/** What can be asked of schedules: they are put, paused, run and removed here, and the ticker makes their runs. */
import type { ProcessClock } from '../runtime/clock.ts'
import { AppError, BootError, messageOf } from '../domain/errors.ts'
import { parseKeeping, writeJson } from '../domain/json.ts'
import type { NewRun, RunRequest } from '../domain/run/new-run.ts'
import {
  isScheduleName,
  maxSchedules,
  scheduleTag,
  type Schedule,
  type ScheduleDefinition,
} from '../domain/schedule.ts'
import type { RunRecord } from '../domain/run.ts'
import type { Intake } from '../intake/intake.ts'
import type { Log } from '../log.ts'
import type { Store } from '../store/store.ts'
import type { Registry } from '../tasks/registry.ts'
import { createCheck, type DeclaredSchedule, refused, type ScheduleInput } from './definition.ts'
import { pause, put, resume, type PutOptions } from './rules.ts'
import { createTicker, type Ticker, type TickOutcome } from './ticker.ts'
import type { Timetable } from './timetable.ts'

export interface Schedules extends Pick<Ticker, 'clockStepped' | 'stop'> {
  /** By name. */
  list(): Promise<readonly Schedule[]>
  /** @throws AppError `schedule-not-found` */
  get(name: string): Promise<Schedule>
  /** @throws AppError `validation-error` or `unknown-task` with a pointer for each wrong place, or `schedule-declared` */
  put(name: string, input: ScheduleInput): Promise<{ readonly schedule: Schedule; readonly isNew: boolean }>
  /** @throws AppError `schedule-not-found` or `schedule-declared` */
  remove(name: string): Promise<void>
  /** @throws AppError `schedule-not-found` */
  setPaused(name: string, isPaused: boolean): Promise<Schedule>
  /** Makes a run now, which is no tick. @throws AppError `schedule-not-found`, and as `submit` of the intake does */
  run(name: string): Promise<RunRecord>
  /** Checks what code declares. @throws BootError that says what is wrong */
  prepare(): Promise<void>
  /** Writes what code declares, and begins to wait for ticks. */
  start(): Promise<void>
}

export interface SchedulesOptions {
  readonly store: Store
  readonly intake: Pick<Intake, 'prepare' | 'admit' | 'submit'>
  readonly registry: Registry
  readonly declared: readonly DeclaredSchedule[]
  /** @throws AppError with a pointer for each wrong place */
  readonly parse: (body: unknown) => ScheduleInput
  readonly clock: ProcessClock
  readonly log: Log
  readonly onTick?: (outcome: TickOutcome) => void
}

export function createSchedules(options: SchedulesOptions): Schedules {
  const { store, intake, registry, declared, parse, clock, log, onTick } = options
  const isDeclaredHere = new Set(declared.map(({ name }) => name))
  const declaredInputs = new Map<string, ScheduleInput>()

  /** Loaded with the first schedule: without one it is not needed. */
  async function timetableOf({ cron, timeZone }: Pick<Schedule, 'cron' | 'timeZone'>): Promise<Timetable> {
    const { createTimetable } = await import('./timetable.ts')
    return createTimetable(cron, timeZone)
  }

  function requestOf({ name, request }: Schedule): RunRequest {
    const { tasks, ...rest } = parseKeeping(request, [['tasks', 'input']]) as RunRequest
    const [first, ...others] = tasks
    if (first === undefined) throw new Error(`the schedule ${name} has no task`)
    // Nobody waits for the first job, so it has the attempts of its task.
    const maxAttempts = first.maxAttempts ?? registry.get(first.name)?.policy.maxAttempts
    return { ...rest, tasks: [{ ...first, maxAttempts }, ...others], tags: [...rest.tags, scheduleTag(name)] }
  }

  const check = createCheck(intake, clock)
  const prepare = async (schedule: Schedule): Promise<NewRun> => intake.prepare(requestOf(schedule))
  // A schedule that other code declares is left to the processes with that code: its ticks end with them.
  const isOurs = ({ name, isDeclared }: Schedule): boolean => !isDeclared || isDeclaredHere.has(name)
  const ticker = createTicker({ store, intake, prepare, timetableOf, isOurs, clock, log, ...(onTick && { onTick }) })

  /**
   * Writes a new state of a schedule, also while others write it.
   * @param next of null where there is no schedule; may be called several times
   */
  async function change(
    name: string,
    next: (before: Schedule | null) => Schedule | null | Promise<Schedule | null>,
  ): Promise<Schedule | null> {
    for (;;) {
      const before = await store.getSchedule(name)
      const to = await next(before)
      if (to === before) return before
      const written = { name, from: before?.revision ?? null, to, run: null }
      const result = await store.changeSchedule(written, clock.now())
      if (result === 'full') {
        throw refused('validation-error', [
          { pointer: '', detail: `there are ${maxSchedules} schedules, and no more fit` },
        ])
      }
      if (result === 'changed') {
        ticker.wake()
        return to
      }
    }
  }

  async function putChecked(
    name: string,
    definition: ScheduleDefinition,
    optionsOf: (before: Schedule | null) => PutOptions,
  ): Promise<{ readonly schedule: Schedule; readonly isNew: boolean }> {
    const timetable = await timetableOf(definition)
    let isNew = false
    const schedule = await change(name, (before) => {
      isNew = before === null
      return put(before, name, definition, optionsOf(before), timetable, clock.now())
    })
    if (schedule === null) throw new Error('a schedule that was put is not there')
    return { schedule, isNew }
  }

  function refuseDeclared(name: string): void {
    if (!isDeclaredHere.has(name)) return
    throw new AppError('schedule-declared', `the schedule ${name} is declared in code: it can be paused, and run`)
  }

  async function get(name: string): Promise<Schedule> {
    const schedule = isScheduleName(name) ? await store.getSchedule(name) : null
    if (schedule === null) throw noSuchSchedule(name)
    return schedule
  }

  /** Those that this code declared before it was changed. Other processes may have other code. */
  async function removeUndeclared(): Promise<void> {
    if (store.notifier !== null) return
    for (const { name } of (await store.listSchedules()).filter((schedule) => !isOurs(schedule))) {
      await change(name, () => null)
      log.info({ schedule: name }, `the schedule ${name} is gone: no code declares it any more`)
    }
  }

  return {
    list: store.listSchedules,
    get,
    async put(name, input) {
      if (!isScheduleName(name)) {
        throw refused('validation-error', [{ pointer: '/name', detail: 'must be 1–64 letters, digits, "-" and "_"' }])
      }
      refuseDeclared(name)
      const definition = await check(input)
      return putChecked(name, definition, () => ({ isDeclared: false, isPaused: input.paused }))
    },
    async remove(name) {
      refuseDeclared(name)
      await get(name)
      await change(name, () => null)
    },
    async setPaused(name, isPaused) {
      await get(name)
      const schedule = await change(name, async (before) => {
        if (before === null) throw noSuchSchedule(name)
        return isPaused ? pause(before) : resume(before, await timetableOf(before), clock.now())
      })
      if (schedule === null) throw noSuchSchedule(name)
      return schedule
    },
    async run(name) {
      const request = requestOf(await get(name))
      return (await intake.submit(request, { waitMs: 0, idempotency: null })).run
    },
    async prepare() {
      for (const { name, body, place } of declared) {
        try {
          if (!isScheduleName(name)) throw new Error('its name must be 1–64 letters, digits, "-" and "_"')
          const input = parse(body)
          await check(input)
          declaredInputs.set(name, input)
        } catch (error) {
          throw new BootError(`${place}: ${messageOf(error)}`, error)
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

function isSame(one: ScheduleDefinition, other: ScheduleDefinition): boolean {
  return (
    one.cron === other.cron &&
    one.timeZone === other.timeZone &&
    one.request === other.request &&
    one.missed === other.missed
  )
}

function noSuchSchedule(name: string): AppError {
  return new AppError('schedule-not-found', `there is no schedule ${name}`)
}
