/** A schedule before it is stored: as code declares it, and the check whether it can be put, or what is wrong with it. */
import { AppError, BootError } from '../domain/errors.ts'
import type { RequestIssue } from '../domain/problems.ts'
import { writeJson } from '../domain/json.ts'
import type { RunRequest } from '../domain/run/new-run.ts'
import type { MissedPolicy, ScheduleDefinition } from '../domain/schedule.ts'
import type { Intake } from '../intake/intake.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Registry } from '../tasks/registry.ts'

/** A schedule whose form was checked. */
export interface ScheduleInput {
  readonly cron: string
  readonly timeZone: string
  readonly request: RunRequest
  readonly missed: MissedPolicy
  readonly paused: boolean
}

/** Bytes of the request of one schedule: a list has all of them. */
const maxRequestBytes = 65_536

/** @throws AppError `validation-error` or `unknown-task` with a pointer for each wrong place */
export type Check = (input: ScheduleInput) => Promise<ScheduleDefinition>

export function createCheck(intake: Pick<Intake, 'prepare'>, clock: Clock): Check {
  async function timeIssues(cron: string, timeZone: string): Promise<RequestIssue[]> {
    const { checkTimeZone, createTimetable } = await import('./timetable.ts')
    const issues: RequestIssue[] = []
    const attempt = (pointer: string, work: () => void): void => {
      try {
        work()
      } catch (error) {
        // The number in croner's message is that of the day or the month less one.
        const detail = String(Reflect.get(Object(error), 'message'))
          .replace(/^CronPattern: /, '')
          .replace(/^Invalid value for (\w+): .*$/, 'its $1 is out of range')
        issues.push({ pointer, detail })
      }
    }
    attempt('/timeZone', () => checkTimeZone(timeZone))
    attempt('/cron', () => {
      if (createTimetable(cron, 'UTC').next(clock.now()) === null) throw new RangeError('no date matches it')
    })
    return issues
  }

  return async ({ cron, timeZone, request, missed }) => {
    const issues = await timeIssues(cron, timeZone)
    const text = writeJson(request)
    if (Buffer.byteLength(text) > maxRequestBytes) {
      issues.push({ pointer: '/request', detail: `has more than ${maxRequestBytes} bytes as JSON` })
    }
    try {
      await intake.prepare(request)
    } catch (error) {
      if (!(error instanceof AppError)) throw error
      const { errors = [] } = error.members
      const ofRequest = errors.map(({ pointer, detail }) => ({ pointer: `/request${pointer}`, detail }))
      throw refused(issues.length > 0 ? 'validation-error' : error.code, [...issues, ...ofRequest])
    }
    if (issues.length > 0) throw refused('validation-error', issues)
    return { cron, timeZone, request: text, missed }
  }
}

export function refused(code: AppError['code'], errors: readonly RequestIssue[]): AppError {
  const [first] = errors
  const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : ''
  return new AppError(code, `${first?.pointer}: ${first?.detail}${more}`, { members: { errors } })
}

/** A schedule as code has written it. */
export interface DeclaredSchedule {
  readonly name: string
  /** What a caller would send to put it. */
  readonly body: unknown
  /** Where it is declared, for what is wrong with it. */
  readonly place: string
}

/** @throws BootError where two have one name, or one is no object */
export function declaredSchedules(
  registry: Pick<Registry, 'all'>,
  given: Readonly<Record<string, unknown>>,
): readonly DeclaredSchedule[] {
  const ofTasks = registry.all().flatMap(({ name, schedule }): DeclaredSchedule[] => {
    if (schedule === undefined) return []
    const place = `the schedule of the task ${name}`
    if (typeof schedule !== 'object' || schedule === null) throw new BootError(`${place} must be an object with cron`)
    const { input, ...rest } = schedule as Readonly<Record<string, unknown>>
    if ('request' in rest) throw new BootError(`${place} must not have a request: it runs the task`)
    return [{ name, body: { ...rest, request: { tasks: [{ name, input }] } }, place }]
  })
  const ofOptions = Object.entries(given).map(([name, body]) => ({ name, body, place: `the schedule ${name}` }))
  const twice = ofOptions.find(({ name }) => ofTasks.some((other) => other.name === name))
  if (twice !== undefined) throw new BootError(`${twice.place} has the name of a task that has a schedule of its own`)
  return [...ofTasks, ...ofOptions].map((declared) => ({ ...declared, body: asJson(declared) }))
}

/** As a store has it. */
function asJson({ body, place }: DeclaredSchedule): unknown {
  try {
    return JSON.parse(JSON.stringify(body))
  } catch (error) {
    throw new BootError(`${place} is no JSON: ${String(error)}`, error)
  }
}
