/** A schedule before it is stored: the check of its times and its request, and the schedules that code declares. */
import { AppError, BootError, messageOf } from '../domain/errors.ts'
import { parseKeeping, writeJson } from '../domain/json.ts'
import type { RequestIssue } from '../domain/problems.ts'
import type { RunRequest } from '../domain/run/new-run.ts'
import type { ScheduleDefinition } from '../domain/schedule.ts'
import type { Intake } from '../intake/intake.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Registry } from '../tasks/registry.ts'

/** A schedule whose members have the right types. Its times and its tasks are not checked yet. */
export interface ScheduleInput extends Omit<ScheduleDefinition, 'request'> {
  readonly request: RunRequest
  readonly paused: boolean
}

/** Bounds the list of schedules, which contains the request of each. */
const maxRequestBytes = 65_536

/** Makes a check that throws AppError `validation-error` or `unknown-task` with a pointer for each issue. */
export function createCheck(intake: Pick<Intake, 'prepare'>, clock: Clock) {
  async function timeIssues(cron: string, timeZone: string): Promise<RequestIssue[]> {
    const { checkTimeZone, createTimetable } = await import('./timetable.ts')
    const issues: RequestIssue[] = []
    const addIssueOf = (pointer: string, check: () => void): void => {
      try {
        check()
      } catch (error) {
        issues.push({ pointer, detail: cronMessage(error) })
      }
    }
    addIssueOf('/timeZone', () => checkTimeZone(timeZone))
    // In UTC, so that an unknown time zone is no fault of the pattern.
    addIssueOf('/cron', () => {
      if (createTimetable(cron, 'UTC').next(clock.now()) === null) throw new RangeError('no date matches it')
    })
    return issues
  }

  return async ({ cron, timeZone, request, missed }: ScheduleInput): Promise<ScheduleDefinition> => {
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
      // The code of the request is that of the whole only if nothing else is wrong.
      throw errorOfIssues(issues.length > 0 ? 'validation-error' : error.code, [...issues, ...ofRequest])
    }
    if (issues.length > 0) throw errorOfIssues('validation-error', issues)
    return { cron, timeZone, request: text, missed }
  }
}

/** The number in croner's message is wrong by one for days and months, so it is left out. */
function cronMessage(error: unknown): string {
  return messageOf(error)
    .replace(/^CronPattern: /, '')
    .replace(/^Invalid value for (\w+): .*$/, 'its $1 is out of range')
}

export function errorOfIssues(code: AppError['code'], errors: readonly RequestIssue[]): AppError {
  const [first] = errors
  const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : ''
  const place = first === undefined || first.pointer === '' ? '' : `${first.pointer}: `
  return new AppError(code, `${place}${first?.detail}${more}`, { members: { errors } })
}

/** The request of a schedule that has been checked. Its inputs keep their exact JSON text. */
export function storedRequest({ request }: ScheduleDefinition): RunRequest {
  return parseKeeping(request, [['tasks', 'input']]) as RunRequest
}

/** A schedule that is declared in code, not yet checked. */
export interface DeclaredSchedule {
  readonly name: string
  /** The body of a request that would put the schedule. */
  readonly body: unknown
  /** Names the declaration in errors. */
  readonly label: string
}

/** @throws BootError if two schedules have the same name, or one is not an object of JSON values */
export function declaredSchedules(
  registry: Pick<Registry, 'all'>,
  optionSchedules: Readonly<Record<string, unknown>>,
): readonly DeclaredSchedule[] {
  const ofTasks = registry.all().flatMap(({ name, schedule }): DeclaredSchedule[] => {
    if (schedule === undefined) return []
    const label = `the schedule of the task ${name}`
    if (typeof schedule !== 'object' || schedule === null) throw new BootError(`${label} must be an object with cron`)
    const { input, ...rest } = schedule as Readonly<Record<string, unknown>>
    if ('request' in rest) throw new BootError(`${label} must not have a request: it runs the task`)
    return [{ name, body: { ...rest, request: { tasks: [{ name, input }] } }, label }]
  })
  const ofOptions = Object.entries(optionSchedules).map(([name, body]) => ({
    name,
    body,
    label: `the schedule ${name}`,
  }))
  const twice = ofOptions.find(({ name }) => ofTasks.some((other) => other.name === name))
  if (twice !== undefined) throw new BootError(`${twice.label} has the name of a task that has a schedule of its own`)
  return [...ofTasks, ...ofOptions].map((declared) => ({ ...declared, body: asJson(declared) }))
}

/** The body as it would arrive over HTTP. */
function asJson({ body, label }: DeclaredSchedule): unknown {
  try {
    return JSON.parse(JSON.stringify(body))
  } catch (error) {
    throw new BootError(`${label} is no JSON: ${String(error)}`, error)
  }
}
