/** Decides whether a schedule can be put, or says everything that is wrong with it. */
import type { Clock } from '../runtime/clock.ts'
import { AppError, type RequestIssue } from '../domain/errors.ts'
import type { RunRequest } from '../domain/run/new-run.ts'
import type { MissedPolicy, ScheduleDefinition } from '../domain/schedule.ts'
import type { Intake } from '../intake/intake.ts'

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
    const text = JSON.stringify(request)
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
