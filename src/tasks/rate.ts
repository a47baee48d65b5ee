/** The check of a task's `rate`. */
import { rateBounds, type Rate } from '../domain/rate.ts'

/**
 * @param rate of a definition; undefined: none
 * @param wrong makes the error of what is wrong with it
 */
export function checkRate(rate: unknown, main: string, wrong: (what: string) => Error): Rate | null {
  if (rate === undefined) return null
  const names = Object.keys(Object(rate))
  if (names.length !== 2 || !names.includes('limit') || !names.includes('perMs')) {
    throw wrong('rate must be { limit, perMs }')
  }
  const whole = (member: keyof Rate): number => {
    const value: unknown = Reflect.get(Object(rate), member)
    const { min, max } = rateBounds[member]
    if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value
    throw wrong(`rate.${member} must be a whole number from ${min} to ${max}`)
  }
  const checked = { limit: whole('limit'), perMs: whole('perMs') }
  if (main === 'always')
    throw wrong("a task with a rate cannot have main: 'always': its jobs wait their turn in the pool")
  return checked
}
