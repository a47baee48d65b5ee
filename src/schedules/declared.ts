/** Schedules that are declared in code: by tasks, and by the options of the library. */
import { BootError } from '../domain/errors.ts'
import type { Registry } from '../tasks/registry.ts'

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
